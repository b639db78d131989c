import type { TokenRequest } from "../acs/service.js";
import type { TokenScope } from "../config/config.js";
import { Refusal } from "../errors.js";
import type { Entitlements } from "../policy/policy.js";
import type { IssueInput } from "./issue.js";

/** The service's own bounds, in minutes. */
const MIN_LIFETIME_MINUTES = 60;
const MAX_LIFETIME_MINUTES = 1440;

/** What is asked for, as far as the policy allows it: less is never given silently, it is refused. */
export function grantToken(entitlements: Entitlements, { scopes, lifetimeMinutes }: IssueInput): TokenRequest {
  const granted = grantScopes(entitlements, scopes);
  return { scopes: granted, lifetimeMinutes: grantLifetime(entitlements, granted, lifetimeMinutes) };
}

function grantScopes({ scopes: allowed }: Entitlements, asked: IssueInput["scopes"]): TokenRequest["scopes"] {
  const path = ["input", "scopes"];
  if (asked.length === 0) throw new Refusal("INVALID_INPUT", "Ask for at least one scope.", path);
  const refused = asked.filter((scope) => !allowed.has(scope));
  if (refused.length > 0) {
    const may = allowed.size === 0 ? "none" : [...allowed.keys()].join(", ");
    throw new Refusal("SCOPE_NOT_ALLOWED", `Not allowed: ${distinct(refused).join(", ")}. Allowed: ${may}.`, path);
  }
  return distinct(asked);
}

/** Each scope once. Most ask for one, which needs no set. */
export function distinct(scopes: readonly TokenScope[]): readonly TokenScope[] {
  return scopes.length < 2 ? scopes : [...new Set(scopes)];
}

/** No longer than the scope that may be had for the shortest time. */
function grantLifetime(
  { scopes: allowed }: Entitlements,
  granted: readonly TokenScope[],
  asked: number | null,
): number {
  let most = MAX_LIFETIME_MINUTES;
  for (const scope of granted) most = Math.min(most, allowed.get(scope) ?? 0);
  if (asked === null) return most;
  if (asked < MIN_LIFETIME_MINUTES || asked > most) {
    const message = `The lifetime must be ${MIN_LIFETIME_MINUTES} to ${most} minutes for these scopes.`;
    throw new Refusal("LIFETIME_NOT_ALLOWED", message, ["input", "lifetimeMinutes"]);
  }
  return asked;
}
