import { REVOCATION_SPREAD_MS } from "../acs/service.js";
import type { AuditLog } from "../audit/log.js";
import { Refusal } from "../errors.js";
import type { Limits } from "../limits/limits.js";
import type { Events } from "../observe/events.js";
import type { Call } from "../policy/call.js";
import type { IdentityStore } from "../store/identity-store.js";
import type { WorkStore } from "../store/work-store.js";
import type { Identity, IdentityStatus } from "./identity.js";
import type { ServiceWorker } from "./service-worker.js";
import { findTarget } from "./target.js";

interface RevocationParts {
  readonly identities: IdentityStore;
  readonly work: WorkStore;
  readonly worker: ServiceWorker;
  readonly limits: Pick<Limits, "takeRevocation">;
  readonly audit: AuditLog;
  readonly events: Events;
  readonly now: () => number;
}

export interface Revoked {
  readonly identity: Identity;
  /** When the service promises that no revoked token works, ms since 1970; null while it has yet to confirm. */
  readonly effectiveBy: number | null;
}

/** Makes every token issued so far worthless: first in the row, which stops the gateway, then at the service. */
export class Revocation {
  readonly #parts: RevocationParts;

  constructor(parts: RevocationParts) {
    this.#parts = parts;
  }

  async revoke(call: Call, input: { identityId: string | null; reason: string | null }): Promise<Revoked> {
    const { identities, worker, limits, audit, events, now } = this.#parts;
    const target = await findTarget(identities, call, input.identityId, { own: "TOKEN_ISSUE", any: "IDENTITY_MANAGE" });
    if (!REVOCABLE.includes(target.status)) throw goneRefusal(target);
    // It goes before all other calls to the service, so no user may have others wait for theirs.
    if (!call.entitlements.permissions.has("IDENTITY_MANAGE"))
      call.quotas.push(await limits.takeRevocation(call.caller));
    const about = { identityId: target.id, reason: input.reason };
    const revoked = await audit
      .of(call)
      .change("TOKENS_REVOKED", about, () => identities.revoke(target.id, REVOCABLE, now()));
    if (revoked === undefined) throw goneRefusal(target);
    events.tokensRevoked({ requestId: call.requestId, identity: revoked, reason: input.reason });
    await worker.settle(revoked.communicationUserId, call.deadline.signal);
    const identity = (await identities.findByIds([target.id]))[0] ?? revoked;
    return {
      identity,
      effectiveBy: (await this.#isConfirmed(revoked, identity)) ? now() + REVOCATION_SPREAD_MS : null,
    };
  }

  /** Of what the row had when it was asked for, which the service may have lost meanwhile. */
  async #isConfirmed(revoked: Identity, current: Identity): Promise<boolean> {
    const { communicationUserId } = revoked;
    if (current.communicationUserId === communicationUserId) return !current.revocationPending;
    return communicationUserId === null || (await this.#parts.work.find(communicationUserId)) === undefined;
  }
}

const REVOCABLE: readonly IdentityStatus[] = ["PROVISIONING", "ACTIVE", "SUSPENDED"];

/** Deleting takes the service a moment; what it could not do is tried again soon. */
const DELETING_SECONDS = 5;

/** Why an identity cannot be changed that is deleted or being deleted. */
export function goneRefusal({ status }: Identity): Refusal {
  if (status !== "DELETED") return deletingRefusal();
  return new Refusal("IDENTITY_NOT_FOUND", "The identity has been deleted.", ["input", "identityId"]);
}

export function deletingRefusal(): Refusal {
  return new Refusal("IDENTITY_DELETING", "The identity is being deleted.", ["input"], DELETING_SECONDS);
}
