import { type CommunicationService, IdentityNotOwned } from "../acs/service.js";
import { Refusal } from "../errors.js";
import type { Events } from "../observe/events.js";
import type { Call } from "../policy/call.js";
import { requirePermission } from "../policy/policy.js";
import type { IdentityStore } from "../store/identity-store.js";
import { type ApplicationUser, type Identity, sameUser } from "./identity.js";
import type { Provisioning } from "./provisioning.js";
import { deletingRefusal, type Revocation } from "./revocation.js";
import { findTarget, type TargetPermissions } from "./target.js";

const MAX_SUBJECT_LENGTH = 255;
const MANAGED: TargetPermissions = { own: null, any: "IDENTITY_MANAGE" };

interface LifecycleParts {
  readonly identities: IdentityStore;
  readonly service: CommunicationService;
  readonly provisioning: Provisioning;
  readonly revocation: Revocation;
  readonly events: Events;
  readonly now: () => number;
  /** Issuers whose users may be provisioned: a mapping for any other could never be used. */
  readonly issuers: readonly string[];
}

interface ManagedInput {
  readonly identityId: string;
  readonly reason: string | null;
}

/** What operators do with identities, and what a user does with their own: provision, suspend, reinstate, delete. */
export class IdentityLifecycle {
  readonly #parts: LifecycleParts;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
  }

  async provision(call: Call, user: ApplicationUser): Promise<Identity> {
    requirePermission(call.entitlements, "IDENTITY_MANAGE");
    this.#checkUser(user);
    const { identity } = await this.#parts.provisioning.ensure(user, call.deadline);
    return identity;
  }

  /** Stops issuing and revokes. Suspending again is no change, and finishes a revocation that the service has not confirmed. */
  async suspend(call: Call, input: ManagedInput): Promise<Identity> {
    const { identities, revocation, events, now } = this.#parts;
    const target = await findTarget(identities, call, input.identityId, MANAGED);
    if (target.status === "SUSPENDED") return await revocation.confirm(target, call.deadline);
    const suspended = await identities.revoke(target.id, ["PROVISIONING", "ACTIVE"], now(), "SUSPENDED");
    if (suspended === undefined) throw goneRefusal(target);
    events.identitySuspended(suspended, input.reason);
    return await revocation.confirm(suspended, call.deadline);
  }

  async reinstate(call: Call, input: ManagedInput): Promise<Identity> {
    const { identities, events } = this.#parts;
    const target = await findTarget(identities, call, input.identityId, MANAGED);
    if (target.status === "ACTIVE" || target.status === "PROVISIONING") return target;
    const reinstated = await identities.reinstate(target.id);
    if (reinstated === undefined) throw goneRefusal(target);
    events.identityReinstated(reinstated, input.reason);
    return reinstated;
  }

  /** Answers the id once service and store have forgotten the user. Deleting again is no change. */
  async delete(call: Call, input: { identityId: string | null; reason: string | null }): Promise<string> {
    const { identities, events, now } = this.#parts;
    const target = await findTarget(identities, call, input.identityId, { own: "TOKEN_ISSUE", any: "IDENTITY_MANAGE" });
    refuseEscape(call, target);
    if (target.status === "DELETED") return target.id;
    const deleting = await identities.revoke(target.id, ["PROVISIONING", "ACTIVE", "SUSPENDED"], now(), "DELETING");
    await this.#deleteAtService(deleting ?? target, call.deadline);
    const erased = await identities.erase(target.id);
    if (erased !== undefined) events.identityDeleted(erased, input.reason);
    return target.id;
  }

  async #deleteAtService({ communicationUserId }: Identity, deadline: AbortSignal): Promise<void> {
    if (communicationUserId === null) return;
    try {
      await this.#parts.service.deleteIdentity(communicationUserId, deadline);
    } catch (error) {
      if (!(error instanceof IdentityNotOwned)) throw error;
    }
  }

  #checkUser({ issuer, subject }: ApplicationUser): void {
    if (!this.#parts.issuers.includes(issuer)) {
      throw new Refusal("INVALID_INPUT", "The issuer is not one that this gateway accepts.", [
        "input",
        "user",
        "issuer",
      ]);
    }
    if (subject === "" || subject.length > MAX_SUBJECT_LENGTH) {
      const message = `The subject must have 1 to ${MAX_SUBJECT_LENGTH} characters.`;
      throw new Refusal("INVALID_INPUT", message, ["input", "user", "subject"]);
    }
  }
}

/** A suspended user would come back unsuspended by deleting and starting over. */
function refuseEscape({ caller, entitlements }: Call, target: Identity): void {
  const mayManage = entitlements.permissions.has("IDENTITY_MANAGE");
  if (target.status === "SUSPENDED" && !mayManage && sameUser(target.user, caller)) {
    throw new Refusal("IDENTITY_SUSPENDED", "A suspended identity can be deleted by an administrator only.", ["input"]);
  }
}

function goneRefusal({ status }: Identity): Refusal {
  if (status !== "DELETED") return deletingRefusal();
  return new Refusal("IDENTITY_NOT_FOUND", "The identity has been deleted.", ["input", "identityId"]);
}
