import type { ErrorCode } from "../errors.js";
import type { IdentityReader } from "../identities/reader.js";
import type { Call } from "../policy/call.js";

/** Which app sent a request, by its own word. */
export interface ClientInfo {
  readonly name: string | null;
  readonly version: string | null;
}

/** The facts of one request, for the resolvers. Services are not among them: a resolver gets those when it is made. */
export interface RequestContext {
  readonly requestId: string;
  readonly client: ClientInfo;
  readonly call: Call;
  readonly identities: IdentityReader;
  /** What the request came to, filled in when its errors are translated; for the log and the metrics. */
  readonly outcome: { code: ErrorCode | "OK" };
}
