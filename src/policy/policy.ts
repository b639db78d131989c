/**
 * What a caller may have. Deny by default: the rules that match the caller are united, and nothing else is granted, nor a scope for
 * longer than a rule says that has it. Pure: the answer depends on the rules and the caller alone.
 */
import type { Caller } from "../auth/caller.js";
import type { Permission, RuleConfig, TokenScope } from "../config/config.js";
import { GatewayError } from "../errors.js";

/** The union of all rules that match one caller. */
export interface Entitlements {
  readonly permissions: ReadonlySet<Permission>;
  /** Each with the longest lifetime of a token that has it, in minutes, 60 to 1440. */
  readonly scopes: ReadonlyMap<TokenScope, number>;
}

/** The same, resolved once for each caller. */
export function rememberingEntitlements(rules: readonly RuleConfig[]): (caller: Caller) => Entitlements {
  const known = new WeakMap<Caller, Entitlements>();
  return (caller) => {
    const entitlements = known.get(caller) ?? resolveEntitlements(rules, caller);
    known.set(caller, entitlements);
    return entitlements;
  };
}

export function resolveEntitlements(rules: readonly RuleConfig[], caller: Caller): Entitlements {
  const matching = rules.filter((rule) => matches(rule.when, caller));
  const scopes = new Map<TokenScope, number>();
  for (const rule of matching) {
    for (const scope of rule.scopes) scopes.set(scope, Math.max(rule.maxLifetimeMinutes, scopes.get(scope) ?? 0));
  }
  return { permissions: new Set(matching.flatMap((rule) => rule.permissions)), scopes };
}

/** Throws FORBIDDEN unless one of the permissions is granted. */
export function requirePermission({ permissions }: Entitlements, ...anyOf: readonly Permission[]): void {
  if (anyOf.some((permission) => permissions.has(permission))) return;
  throw new GatewayError(
    "FORBIDDEN",
    `This needs the permission ${anyOf.join(" or ")}, which no policy rule grants you.`,
  );
}

function matches(when: RuleConfig["when"], { issuer, claims, senderConstraint }: Caller): boolean {
  if (when.senderConstrained && senderConstraint === null) return false;
  if (when.issuer !== undefined && when.issuer !== issuer) return false;
  if (when.claim === undefined) return true;
  const value = Object.hasOwn(claims, when.claim) ? claims[when.claim] : undefined;
  if (when.includes !== undefined) return Array.isArray(value) && value.includes(when.includes);
  return when.equals !== undefined && value === when.equals;
}
