import type { ApplicationUser } from "../identities/identity.js";
import type { Quota } from "../limits/quota.js";

/**
 * What the caller may know of budgets, as `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11 §3,
 * §4): their own, and those that are no user's. Of several states of one budget the last counts.
 */
export function rateLimitHeaders(
  quotas: readonly Quota[],
  caller: ApplicationUser | undefined,
): Readonly<Record<string, string>> {
  const told = new Map(quotas.filter((quota) => concerns(quota, caller)).map((quota) => [quota.name, quota]));
  if (told.size === 0) return {};
  const list = (item: (quota: Quota) => string) => [...told.values()].map(item).join(", ");
  return {
    "ratelimit-policy": list(({ name, limit, windowSeconds }) => `"${name}";q=${limit};w=${windowSeconds}`),
    ratelimit: list(({ name, remaining, resetSeconds }) => `"${name}";r=${remaining};t=${resetSeconds}`),
  };
}

function concerns({ user }: Quota, caller: ApplicationUser | undefined): boolean {
  return user === null || (user.issuer === caller?.issuer && user.subject === caller.subject);
}
