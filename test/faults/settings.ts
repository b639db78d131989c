import { randomInt } from "node:crypto";
import type { Servers } from "./cluster.js";

const { TEST_POSTGRES_URL: postgres, TEST_REDIS_URL: redis } = process.env;

/** What several processes share; undefined unless both are there. */
export const SERVERS: Servers | undefined = postgres && redis ? { postgres, redis } : undefined;

/** For the name of what needs them. */
export const LEFT_OUT = SERVERS ? "" : " (left out: TEST_POSTGRES_URL and TEST_REDIS_URL are not both set)";

/** FAULT_SEED, or a new one. */
export function firstSeed(): number {
  const given = process.env.FAULT_SEED;
  if (!given) return randomInt(2 ** 31);
  const seed = Number(given);
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error("FAULT_SEED is a whole number");
  return seed;
}
