import { type CommunicationService, IdentityNotOwned, REVOCATION_SPREAD_MS } from "../acs/service.js";
import { Refusal } from "../errors.js";
import type { Events } from "../observe/events.js";
import type { Call } from "../policy/call.js";
import type { IdentityStore } from "../store/identity-store.js";
import type { Identity } from "./identity.js";
import { findTarget } from "./target.js";

interface RevocationParts {
  readonly identities: IdentityStore;
  readonly service: CommunicationService;
  readonly events: Events;
  readonly now: () => number;
}

/** Makes every token issued so far worthless: first in the row, which stops the gateway, then at the service. */
export class Revocation {
  readonly #parts: RevocationParts;

  constructor(parts: RevocationParts) {
    this.#parts = parts;
  }

  /** `effectiveBy`: when the service promises that no revoked token works, ms since 1970. */
  async revoke(
    call: Call,
    input: { identityId: string | null; reason: string | null },
  ): Promise<{ identity: Identity; effectiveBy: number }> {
    const { identities, events, now } = this.#parts;
    const target = await findTarget(identities, call, input.identityId, { own: "TOKEN_ISSUE", any: "IDENTITY_MANAGE" });
    const revoked = await identities.revoke(target.id, ["PROVISIONING", "ACTIVE", "SUSPENDED"], now());
    if (revoked === undefined) throw deletingRefusal();
    const identity = await this.confirm(revoked, call.deadline);
    events.tokensRevoked(identity, input.reason);
    return { identity, effectiveBy: now() + REVOCATION_SPREAD_MS };
  }

  /** Has the service carry out a revocation that the row already shows as pending; nothing to do if it does not. */
  async confirm(identity: Identity, deadline: AbortSignal): Promise<Identity> {
    if (!identity.revocationPending || identity.communicationUserId === null) return identity;
    try {
      await this.#parts.service.revokeTokens(identity.communicationUserId, deadline);
    } catch (error) {
      // An identity that the service no longer has, has no tokens.
      if (!(error instanceof IdentityNotOwned)) throw error;
    }
    return (await this.#parts.identities.confirmRevocation(identity.id, identity.revocations)) ?? identity;
  }
}

export function deletingRefusal(): Refusal {
  return new Refusal("IDENTITY_DELETING", "The identity is being deleted.", ["input"]);
}
