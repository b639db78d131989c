import type { AuditLog } from "../audit/log.js";
import { MAX_SUBJECT_LENGTH } from "../auth/caller.js";
import { GatewayError, Refusal } from "../errors.js";
import type { Events } from "../observe/events.js";
import type { Call } from "../policy/call.js";
import { requirePermission } from "../policy/policy.js";
import type { IdentityStore } from "../store/identity-store.js";
import type { Eraser } from "./eraser.js";
import type { ApplicationUser, Identity, IdentityStatus } from "./identity.js";
import type { Provisioning } from "./provisioning.js";
import { deletingRefusal, goneRefusal } from "./revocation.js";
import type { ServiceWorker } from "./service-worker.js";
import { findTarget, type TargetPermissions } from "./target.js";

const MANAGED: TargetPermissions = { own: null, any: "IDENTITY_MANAGE" };

interface LifecycleParts {
  readonly identities: IdentityStore;
  readonly provisioning: Provisioning;
  readonly worker: ServiceWorker;
  readonly audit: AuditLog;
  readonly eraser: Eraser;
  readonly events: Events;
  readonly now: () => number;
  readonly hashUser: (user: ApplicationUser) => string;
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
    const { identity } = await this.#parts.provisioning.ensure(user, call);
    // It was while it was being made, or still is; the next call makes another.
    if (GOING.includes(identity.status)) throw deletingRefusal();
    return identity;
  }

  /** Stops issuing and revokes. Suspending again is no change, but waits as the first does for the service. */
  async suspend(call: Call, input: ManagedInput): Promise<Identity> {
    const { identities, audit, events, now } = this.#parts;
    const target = await findTarget(identities, call, input.identityId, MANAGED);
    if (target.status === "SUSPENDED") return target.revocationPending ? await this.#settle(call, target) : target;
    if (!SUSPENDABLE.includes(target.status)) throw goneRefusal(target);
    const about = { ...input, identityId: target.id };
    const suspended = await audit.of(call).change(
      "IDENTITY_SUSPENDED",
      about,
      () => identities.revoke(target.id, SUSPENDABLE, now(), "SUSPENDED"),
      () => this.#isStill(target, ["SUSPENDED"]),
    );
    // Another call was faster, as when a client repeats itself: what is there now decides.
    if (suspended === undefined) return await this.suspend(call, input);
    events.identitySuspended({ requestId: call.requestId, identity: suspended, reason: input.reason });
    return await this.#settle(call, suspended);
  }

  /** As it is when the service has revoked its tokens, or after a short wait. */
  async #settle({ deadline }: Call, identity: Identity): Promise<Identity> {
    const { identities, worker } = this.#parts;
    await worker.settle(identity.communicationUserId, deadline.signal);
    return (await identities.findById(identity.id)) ?? identity;
  }

  async #isStill({ id }: Identity, statuses: readonly IdentityStatus[]): Promise<boolean> {
    const current = await this.#parts.identities.findById(id);
    return current !== undefined && statuses.includes(current.status);
  }

  async reinstate(call: Call, input: ManagedInput): Promise<Identity> {
    const { identities, audit, events } = this.#parts;
    const target = await findTarget(identities, call, input.identityId, MANAGED);
    if (SUSPENDABLE.includes(target.status)) return target;
    if (target.status !== "SUSPENDED") throw goneRefusal(target);
    const about = { ...input, identityId: target.id };
    const reinstated = await audit.of(call).change(
      "IDENTITY_REINSTATED",
      about,
      () => identities.reinstate(target.id),
      () => this.#isStill(target, SUSPENDABLE),
    );
    // As above.
    if (reinstated === undefined) return await this.reinstate(call, input);
    events.identityReinstated({ requestId: call.requestId, identity: reinstated, reason: input.reason });
    return reinstated;
  }

  /**
   * Answers the id once the deletion is written down: from then on it is carried out, whatever happens. Deleting again is no
   * change, also for the user whose mapping is gone by now.
   */
  async delete(call: Call, input: { identityId: string | null; reason: string | null }): Promise<string> {
    const { identities, worker, events } = this.#parts;
    const target = await this.#findToDelete(call, input.identityId);
    const deleted = await this.#delete(call, target, input.reason);
    if (deleted !== undefined)
      events.identityDeleted({ requestId: call.requestId, identity: deleted, reason: input.reason });
    else {
      const current = await identities.findById(target.id);
      refuseSuspended(current);
      // It was suspended when it was looked at, and has been reinstated since.
      if (current !== undefined && !GOING.includes(current.status)) return await this.delete(call, input);
    }
    await worker.settle((deleted ?? target).communicationUserId, call.deadline.signal);
    return target.id;
  }

  /** Undefined when it is not in a state from which the caller may delete it. */
  async #delete(call: Call, target: Identity, reason: string | null): Promise<Identity | undefined> {
    const { identities, audit, eraser, hashUser, now } = this.#parts;
    const from = deletableFrom(call);
    if (!from.includes(target.status)) return undefined;
    const deleted = await audit
      .of(call)
      .change("IDENTITY_DELETED", { identityId: target.id, reason }, () =>
        identities.delete(target.id, from, now(), hashUser),
      );
    // Who was erased before the outcome was written is named in it again, for as short a time as can be.
    const current = await identities.findById(target.id);
    if (current?.status === "DELETED") await eraser.erase(target.id, () => !call.deadline.aborted);
    return deleted;
  }

  async #findToDelete(call: Call, identityId: string | null): Promise<Identity> {
    try {
      const permissions: TargetPermissions = { own: "TOKEN_ISSUE", any: "IDENTITY_MANAGE" };
      return await findTarget(this.#parts.identities, call, identityId, permissions);
    } catch (error) {
      if (!saysUnknown(error)) throw error;
      // After the living: one that is deleted between the two is found here, the other way round in neither place.
      const tombstone = await this.#findOwnTombstone(call, identityId);
      if (tombstone === undefined) throw error;
      return tombstone;
    }
  }

  /** What is left of the caller's own identity, when that is what they ask to delete. */
  async #findOwnTombstone({ caller, entitlements }: Call, identityId: string | null): Promise<Identity | undefined> {
    const { identities, hashUser } = this.#parts;
    if (!entitlements.permissions.has("TOKEN_ISSUE")) return undefined;
    const tombstone = await identities.findTombstone(hashUser(caller));
    return identityId === null || tombstone?.id === identityId ? tombstone : undefined;
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

/** An identity without a user is nobody's own, so whoever has no other permission is refused it. */
function saysUnknown(error: unknown): boolean {
  return error instanceof Refusal || (error instanceof GatewayError && error.code === "FORBIDDEN");
}

const SUSPENDABLE: readonly IdentityStatus[] = ["PROVISIONING", "ACTIVE"];
const GOING: readonly IdentityStatus[] = ["DELETING", "DELETED"];

/** A suspended user would come back unsuspended by deleting and starting over, so that takes an administrator. */
function deletableFrom({ entitlements }: Call): readonly IdentityStatus[] {
  return entitlements.permissions.has("IDENTITY_MANAGE") ? [...SUSPENDABLE, "SUSPENDED"] : SUSPENDABLE;
}

function refuseSuspended(identity: Identity | undefined): void {
  if (identity?.status !== "SUSPENDED") return;
  throw new Refusal("IDENTITY_SUSPENDED", "A suspended identity can be deleted by an administrator only.", ["input"]);
}
