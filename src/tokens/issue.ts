/**
 * The main job: a communication token for the caller, or on behalf of another identity.
 *
 * authorise → find the identity → limit → mint → record → answer. A first-time user gets identity and token in one service
 * call, a known one costs one issue call. A token counts as handed out only once the identity's row has taken note of it;
 * if tokens were revoked while this one was under way, the row refuses and the token is dropped.
 */
import { type CommunicationService, IdentityNotOwned, type ServiceToken, type TokenRequest } from "../acs/service.js";
import type { TokenScope } from "../config/config.js";
import { GatewayError, Refusal } from "../errors.js";
import type { Identity } from "../identities/identity.js";
import type { Provisioning } from "../identities/provisioning.js";
import { deletingRefusal, type Revocation } from "../identities/revocation.js";
import { findTarget } from "../identities/target.js";
import type { Limits } from "../limits/limits.js";
import type { Events } from "../observe/events.js";
import type { Call } from "../policy/call.js";
import { requirePermission } from "../policy/policy.js";
import type { IdentityStore } from "../store/identity-store.js";
import { grantToken } from "./grant.js";
import { refreshAfter } from "./refresh-after.js";

export interface IssueInput {
  readonly scopes: readonly TokenScope[];
  /** Null: the most that the policy allows. */
  readonly lifetimeMinutes: number | null;
  /** Null: the caller's own. */
  readonly identityId: string | null;
}

/** Times are ms since 1970. */
export interface IssuedToken {
  readonly token: string;
  readonly expiresOn: number;
  readonly refreshAfter: number;
  readonly scopes: readonly TokenScope[];
  readonly identity: Identity;
}

interface IssuanceParts {
  readonly identities: IdentityStore;
  readonly service: CommunicationService;
  readonly provisioning: Provisioning;
  readonly revocation: Revocation;
  readonly limits: Limits;
  readonly events: Events;
  readonly now: () => number;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
}

interface Minted {
  readonly identity: Identity;
  readonly token: ServiceToken;
}

export class TokenIssuance {
  readonly #parts: IssuanceParts;

  constructor(parts: IssuanceParts) {
    this.#parts = parts;
  }

  async issue(call: Call, input: IssueInput): Promise<IssuedToken> {
    const known = await this.#findIdentity(call, input.identityId);
    const request = grantToken(call.entitlements, input);
    if (known !== undefined) refuseUnusable(known);
    await this.#parts.limits.takeMint(known?.user ?? call.caller);
    const { identity, token } = await this.#mint(call, known, request);
    this.#parts.events.tokenIssued(identity);
    return {
      token: token.token,
      expiresOn: token.expiresOn,
      refreshAfter: refreshAfter(this.#parts.now(), token.expiresOn, this.#parts.random()),
      scopes: request.scopes,
      identity,
    };
  }

  /** Undefined for a caller who has no identity yet. */
  async #findIdentity(call: Call, identityId: string | null): Promise<Identity | undefined> {
    const { identities } = this.#parts;
    if (identityId !== null) {
      return await findTarget(identities, call, identityId, { own: "TOKEN_ISSUE", any: "TOKEN_ISSUE_ANY" });
    }
    requirePermission(call.entitlements, "TOKEN_ISSUE");
    return await identities.findByUser(call.caller);
  }

  async #mint(call: Call, known: Identity | undefined, request: TokenRequest): Promise<Minted> {
    if (known !== undefined && known.status !== "PROVISIONING")
      return await this.#issueFor(known, request, call.deadline);
    const provisioned = await this.#parts.provisioning.ensure(known?.user ?? call.caller, call.deadline, request);
    if (provisioned.token !== undefined) return { identity: provisioned.identity, token: provisioned.token };
    return await this.#issueFor(provisioned.identity, request, call.deadline);
  }

  async #issueFor(known: Identity, request: TokenRequest, deadline: AbortSignal): Promise<Minted> {
    refuseUnusable(known);
    const identity = await this.#settleRevocation(known, deadline);
    const token = await this.#askService(identity, request, deadline);
    const recorded = await this.#parts.identities.recordIssue(identity.id, identity.revocations, this.#parts.now());
    if (recorded !== undefined) return { identity: recorded, token };
    const current = (await this.#parts.identities.findByIds([identity.id]))[0] ?? identity;
    refuseUnusable(current);
    throw pendingRefusal(1);
  }

  /** A revocation that the service has yet to carry out would take the new token with it, so it goes first. */
  async #settleRevocation(identity: Identity, deadline: AbortSignal): Promise<Identity> {
    try {
      return await this.#parts.revocation.confirm(identity, deadline);
    } catch (error) {
      if (error instanceof GatewayError && error.retryAfterSeconds !== undefined)
        throw pendingRefusal(error.retryAfterSeconds);
      throw error;
    }
  }

  async #askService(identity: Identity, request: TokenRequest, deadline: AbortSignal): Promise<ServiceToken> {
    if (identity.communicationUserId === null)
      throw new Error(`identity ${identity.id} is ACTIVE without a service id`);
    try {
      return await this.#parts.service.issueToken(identity.communicationUserId, request, deadline);
    } catch (error) {
      if (!(error instanceof IdentityNotOwned)) throw error;
      const message = "Communication Services does not know this identity as one of the configured resource.";
      throw new GatewayError("UPSTREAM_UNAVAILABLE", message, { cause: error });
    }
  }
}

function refuseUnusable({ status }: Identity): void {
  if (status === "SUSPENDED") throw new Refusal("IDENTITY_SUSPENDED", "The identity is suspended.", ["input"]);
  if (status === "DELETING") throw deletingRefusal();
  if (status === "DELETED") {
    throw new Refusal("IDENTITY_NOT_FOUND", "The identity has been deleted.", ["input", "identityId"]);
  }
}

function pendingRefusal(retryAfterSeconds: number): Refusal {
  const message = "A revocation is under way; ask again when it is done.";
  return new Refusal("REVOCATION_PENDING", message, ["input"], retryAfterSeconds);
}
