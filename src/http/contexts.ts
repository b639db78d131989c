import type { IncomingHttpHeaders } from "node:http";
import type { Caller } from "../auth/caller.js";
import { Deadline } from "../deadline.js";
import type { Outcome, RequestContext } from "../graphql/context.js";
import { IdentityReader } from "../identities/reader.js";
import type { Quota } from "../limits/quota.js";
import type { ClientInfo } from "../policy/call.js";
import type { Entitlements } from "../policy/policy.js";
import type { IdentityStore } from "../store/identity-store.js";
import { storable } from "../text.js";

interface ContextParts {
  readonly entitlementsOf: (caller: Caller) => Entitlements;
  readonly identities: IdentityStore;
  readonly requestTimeoutMs: number;
}

/** What is known of a request when it is run. */
interface RequestFacts {
  readonly caller: Caller;
  readonly requestId: string;
  readonly client: ClientInfo;
  readonly outcome: Outcome;
  readonly quotas: Quota[];
}

/** Makes the context of a request, whose time begins now, or so many milliseconds ago. */
export class Contexts {
  readonly #parts: ContextParts;

  constructor(parts: ContextParts) {
    this.#parts = parts;
  }

  now({ caller, requestId, client, outcome, quotas }: RequestFacts, agoMs = 0): RequestContext {
    const { entitlementsOf, identities, requestTimeoutMs } = this.#parts;
    const deadline = new Deadline(Math.max(0, requestTimeoutMs - agoMs));
    const entitlements = entitlementsOf(caller);
    const call = { requestId, client, caller, entitlements, deadline, quotas };
    return { call, identities: new IdentityReader(identities, call), outcome };
  }

  /** The same for each event of a stream, until it ends. What has passed already is of the first one's time. */
  until(ended: AbortSignal, facts: RequestFacts, agoMs = 0): () => RequestContext {
    let passedMs = agoMs;
    return () => {
      const context = { ...this.now(facts, passedMs), ended };
      passedMs = 0;
      return context;
    };
  }
}

const CLIENT_NAME = "apollographql-client-name";
const CLIENT_VERSION = "apollographql-client-version";
const MAX_CLIENT_NAME_LENGTH = 100;

/** Which app asks, by its own word: in headers, or in the parameters of a WebSocket, which may be any text. */
export function clientOf(headers: IncomingHttpHeaders): ClientInfo {
  return { name: short(headers[CLIENT_NAME]), version: short(headers[CLIENT_VERSION]) };
}

function short(value: string | string[] | undefined): string | null {
  return typeof value === "string" ? storable(value.slice(0, MAX_CLIENT_NAME_LENGTH)) : null;
}
