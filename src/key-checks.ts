/**
 * Whether all instances on a database have the same keys. With different ones each goes on by itself as if nothing were wrong: a
 * user's budgets count once for each key, leaked tokens and deleted users are recognized by some and not by others, and no
 * instance reads what another has cached. So the database has a check value of each key that it was used with last: a keyed hash,
 * by which a key is recognized and nothing is learnt of it.
 */
import { createHmac } from "node:crypto";
import type { Secret } from "./config/secret.js";
import type { Keys } from "./keys.js";
import type { KeyCheckStore } from "./store/key-check-store.js";

const KEY_NAMES = ["AUDIT_KEY", "TOKEN_CACHE_KEY"] as const;
/** By the variable of the environment that has it. */
export type KeyName = (typeof KEY_NAMES)[number];

type CheckedKeys = Pick<Keys, "auditKey" | "cacheKeys">;

/** The keys that are none of those that the database was used with last. */
export function otherKeys(known: ReadonlyMap<string, string>, keys: CheckedKeys): KeyName[] {
  return KEY_NAMES.filter((name) => {
    const value = known.get(name);
    return value !== undefined && !keysOf(keys, name).some((key) => checkValueOf(name, key) === value);
  });
}

/** What to say of such a key. */
export const ANOTHER_KEY =
  "this key is not the one that the database was used with last: unless it was just changed, give all instances the same, or restore keys.json if that was lost";

/**
 * For a gateway that starts: tells of keys in whose place there were others, and has the database know these. Of several that start
 * at once on a new database one is the first.
 */
export async function noteKeys(
  checks: KeyCheckStore,
  keys: CheckedKeys,
  observe: (name: KeyName) => void,
): Promise<void> {
  const own = KEY_NAMES.flatMap((name) => {
    const [first] = keysOf(keys, name);
    return first ? [{ name, value: checkValueOf(name, first) }] : [];
  });
  let known = await checks.all();
  if (own.some(({ name }) => !known.has(name))) {
    await checks.add(own);
    known = await checks.all();
  }
  for (const name of otherKeys(known, keys)) observe(name);
  for (const { name, value } of own) if (known.get(name) !== value) await checks.set(name, value);
}

/** The first is in use. */
function keysOf({ auditKey, cacheKeys }: CheckedKeys, name: KeyName): readonly Secret[] {
  return name === "AUDIT_KEY" ? [auditKey] : cacheKeys;
}

function checkValueOf(name: KeyName, key: Secret): string {
  const purpose = `acs-token-gateway/key-check/1/${name}`;
  return createHmac("sha256", key.bytes()).update(purpose).digest("base64url");
}
