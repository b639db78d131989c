import type { ErrorCode } from "../errors.js";
import type { IdentityReader } from "../identities/reader.js";
import type { Call } from "../policy/call.js";

/** The facts of one request, for the resolvers. Services are not among them: a resolver gets those when it is made. */
export interface RequestContext {
  readonly call: Call;
  readonly identities: IdentityReader;
  /** Of a request whose answer is a stream: when no more of it is wanted, or may be sent. */
  readonly ended?: AbortSignal;
  /** What the request came to, filled in when its errors are translated; for the log and the metrics. */
  readonly outcome: { code: ErrorCode | "OK" };
}
