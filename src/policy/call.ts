import type { Caller } from "../auth/caller.js";
import type { Deadline } from "../deadline.js";
import type { Quota } from "../limits/quota.js";
import type { Entitlements } from "./policy.js";

/** Which app sent a request, by its own word. */
export interface ClientInfo {
  readonly name: string | null;
  readonly version: string | null;
}

/** What a service needs to know of the request it works for. */
export interface Call {
  readonly requestId: string;
  readonly client: ClientInfo;
  readonly caller: Caller;
  readonly entitlements: Entitlements;
  readonly deadline: Deadline;
  /** What has been taken from budgets on the way; whoever takes adds to it, and the answer's headers tell the caller. */
  readonly quotas: Quota[];
}
