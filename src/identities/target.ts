import type { Permission } from "../config/config.js";
import { Refusal } from "../errors.js";
import type { Call } from "../policy/call.js";
import { requirePermission } from "../policy/policy.js";
import type { IdentityStore } from "../store/identity-store.js";
import { type Identity, sameUser } from "./identity.js";

/** Which permissions let a call act on the caller's own identity, and on anybody's. */
export interface TargetPermissions {
  readonly own: Permission | null;
  readonly any: Permission;
}

/**
 * The identity that a call acts on: the one named, or the caller's own when none is. FORBIDDEN comes before anything is
 * said about whether it exists. Throws the refusal IDENTITY_NOT_FOUND when it does not.
 */
export async function findTarget(
  identities: IdentityStore,
  call: Call,
  identityId: string | null,
  { own, any }: TargetPermissions,
): Promise<Identity> {
  const found = await (identityId === null ? identities.findByUser(call.caller) : identities.findById(identityId));
  const isOwn = identityId === null || (found !== undefined && sameUser(found.user, call.caller));
  requirePermission(call.entitlements, ...(isOwn && own !== null ? [own, any] : [any]));
  if (found === undefined) {
    const path = identityId === null ? ["input"] : ["input", "identityId"];
    const message = identityId === null ? "You have no identity yet." : "There is no identity with this id.";
    throw new Refusal("IDENTITY_NOT_FOUND", message, path);
  }
  return found;
}
