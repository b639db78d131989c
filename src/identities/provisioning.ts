import type { CommunicationService, ServiceToken, TokenRequest } from "../acs/service.js";
import { IdentityNotOwned } from "../acs/service.js";
import type { Events } from "../observe/events.js";
import type { IdentityStore } from "../store/identity-store.js";
import { waitFor } from "./deadline.js";
import type { ApplicationUser, Identity } from "./identity.js";
import { newIdentityId } from "./identity-id.js";

interface ProvisioningParts {
  readonly identities: IdentityStore;
  readonly service: CommunicationService;
  readonly events: Events;
  readonly now: () => number;
}

interface Provisioned {
  readonly identity: Identity;
  /** The first token, for the one call that made the identity, unless it was revoked meanwhile. */
  readonly token?: ServiceToken | undefined;
}

/**
 * Gives a user an identity, once. The row is written before the service is asked, so that a user in the middle is seen;
 * concurrent calls for one user share one create, and only the first of them gets the token that came with it.
 */
export class Provisioning {
  readonly #parts: ProvisioningParts;
  readonly #underWay = new Map<string, Promise<Provisioned>>();

  constructor(parts: ProvisioningParts) {
    this.#parts = parts;
  }

  /** The user's live identity, made if there is none; with a first token in the same call when `request` is given. */
  async ensure(user: ApplicationUser, deadline: AbortSignal, request?: TokenRequest): Promise<Provisioned> {
    const existing = await this.#parts.identities.findByUser(user);
    if (existing !== undefined && existing.status !== "PROVISIONING") return { identity: existing };
    const key = JSON.stringify([user.issuer, user.subject]);
    const running = this.#underWay.get(key);
    if (running !== undefined) {
      const { identity } = await waitFor(running, deadline);
      return { identity };
    }
    const started = this.#provision(user, request).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, started);
    return await waitFor(started, deadline);
  }

  async #provision(user: ApplicationUser, request: TokenRequest | undefined): Promise<Provisioned> {
    const claimed = await this.#parts.identities.claim(user, newIdentityId(), this.#parts.now());
    if (claimed.status !== "PROVISIONING") return { identity: claimed };
    const made = await this.#create(request);
    const bound = await this.#parts.identities.bind(claimed.id, {
      communicationUserId: made.communicationUserId,
      revocations: claimed.revocations,
      tokenIssuedAt: made.token === undefined ? null : this.#parts.now(),
    });
    if (bound === undefined) return { identity: await this.#discard(made.communicationUserId, claimed) };
    this.#parts.events.identityProvisioned(bound);
    const usable = bound.status === "ACTIVE" && bound.revocations === claimed.revocations;
    return { identity: bound, token: usable ? made.token : undefined };
  }

  async #create(request: TokenRequest | undefined): Promise<{ communicationUserId: string; token?: ServiceToken }> {
    const { service } = this.#parts;
    return request === undefined ? await service.createIdentity() : await service.createIdentityWithToken(request);
  }

  /** The row was deleted while the service worked: what it made belongs to nobody and goes away again. */
  async #discard(communicationUserId: string, claimed: Identity): Promise<Identity> {
    const { service, identities, events } = this.#parts;
    try {
      await service.deleteIdentity(communicationUserId);
    } catch (error) {
      if (!(error instanceof IdentityNotOwned)) events.surplusIdentityLeft(communicationUserId, error);
    }
    return (await identities.findByIds([claimed.id]))[0] ?? claimed;
  }
}
