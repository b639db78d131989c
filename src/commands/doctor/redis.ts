import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { Config } from "../../config/config.js";
import type { RedisConnection } from "../../shared/redis.js";
import { Examination, type Finding, fail, ok, type Result, reasonOf, skip, warn } from "./examination.js";

const LEAST_VERSION = 7;
const CLOCK_MS = 2000;
const LOOK_MS = 50;
/** Should it be left behind, it goes by itself. */
const KEY_MS = 10_000;

const CURE =
  "see that Redis is there and lets this user in, or correct REDIS_URL; meanwhile each instance counts for itself";
const MEMORY_CURE = "set maxmemory, and maxmemory-policy allkeys-lru";

/** Whether instances can share what they may lose: the token cache, counts, used proofs. */
export async function examineRedis({ redis, store }: Config, now: () => number): Promise<readonly Result[]> {
  const examination = new Examination();
  if (redis.url === null) {
    await examination.check({ id: "redis.connection", cure: CURE }, async () => withoutRedis(store.kind));
    return examination.results;
  }
  const { connectRedis } = await import("../../shared/redis.js");
  const connection = connectRedis({ url: redis.url, onLost: () => {}, onBack: () => {} });
  try {
    const answers = await examination.check({ id: "redis.connection", cure: CURE }, (deadline) =>
      untilConnected(connection, deadline),
    );
    if (answers) await examineConnected(examination, connection, now);
    else for (const id of OTHERS) examination.skip(id, undefined, "Redis does not answer");
  } finally {
    await connection.close();
  }
  return examination.results;
}

const OTHERS = ["redis.version", "redis.memory", "redis.writable", "redis.clock"] as const;

function withoutRedis(store: "sqlite" | "postgres"): Finding {
  if (store === "sqlite") return skip("none is configured; one instance needs none");
  return warn(
    "none is configured: with several instances, each has limits, a token cache and used DPoP proofs of its own",
    "set REDIS_URL, unless there is one instance",
  );
}

async function untilConnected(connection: RedisConnection, deadline: AbortSignal): Promise<Finding> {
  for (;;) {
    try {
      await connection.check();
      return ok("answers");
    } catch (error) {
      // What it says last is why it is not there.
      if (!isWorthWaiting(error) || deadline.aborted) return fail(reasonOf(error), CURE);
    }
    await setTimeout(LOOK_MS);
  }
}

/** It may be connecting yet. Once it has said what is wrong, that stays wrong. */
function isWorthWaiting(error: unknown): boolean {
  return error instanceof Error && error.message.includes("connecting");
}

async function examineConnected(
  examination: Examination,
  connection: RedisConnection,
  now: () => number,
): Promise<void> {
  const { client } = connection;
  const infoCure = "let this user run INFO, or look by another one";
  await examination.check({ id: "redis.version", cure: infoCure }, async () =>
    judgeVersion(readInfo(await client.info("server"))),
  );
  await examination.check({ id: "redis.memory", cure: infoCure }, async () =>
    judgeMemory(readInfo(await client.info("memory"))),
  );
  const writeCure = "let this user read and write keys under acs-token-gateway:, at a server that takes writes";
  await examination.check({ id: "redis.writable", cure: writeCure }, () => writeAndRead(connection));
  const clockCure = "set the clocks of this machine and of Redis's (NTP)";
  await examination.check({ id: "redis.clock", cure: clockCure }, () => compareClocks(connection, now, clockCure));
}

async function compareClocks({ client }: RedisConnection, now: () => number, cure: string): Promise<Finding> {
  const before = now();
  // As after a write that a replica has refused, when the connection is made anew: that says nothing of the clocks.
  const time = await client.time().catch((error: unknown) => skip(`Redis cannot be asked: ${reasonOf(error)}`));
  if (!Array.isArray(time)) return time;
  const [seconds, microseconds] = time.map(Number);
  const theirs = (seconds ?? Number.NaN) * 1000 + (microseconds ?? 0) / 1000;
  const difference = Math.max(before - theirs, theirs - now());
  if (difference <= CLOCK_MS) return ok(`agree within ${CLOCK_MS / 1000} s`);
  return warn(`this machine's and Redis's differ by ${Math.round(difference / 1000)} s`, cure);
}

/** Lines of `name:value`. */
function readInfo(text: string): ReadonlyMap<string, string> {
  const pairs = text.split(/\r?\n/).map((line) => line.split(/:(.*)/s, 2));
  return new Map(
    pairs.flatMap(([name, value]): [string, string][] => (name && value !== undefined ? [[name, value]] : [])),
  );
}

function judgeVersion(info: ReadonlyMap<string, string>): Finding {
  const valkey = info.get("valkey_version");
  if (valkey !== undefined) return ok(`Valkey ${valkey}`);
  const version = info.get("redis_version") ?? "of no known version";
  if (Number.parseInt(version, 10) >= LEAST_VERSION) return ok(`Redis ${version}`);
  return warn(
    `Redis ${version}`,
    `update it: the gateway is tested with version ${LEAST_VERSION} and later, and with Valkey`,
  );
}

/** All that the gateway keeps has an end, so that any policy that evicts will do. */
function judgeMemory(info: ReadonlyMap<string, string>): Finding {
  const policy = info.get("maxmemory_policy") ?? "unknown";
  const most = Number(info.get("maxmemory") ?? 0);
  if (most === 0) return warn("maxmemory is not set: it grows until the machine has no memory left", MEMORY_CURE);
  const message = `maxmemory ${Math.floor(most / 1024 / 1024)} MB, maxmemory-policy ${policy}`;
  if (policy !== "noeviction") return ok(message);
  return warn(`${message}: once it is full, nothing is kept there any more`, MEMORY_CURE);
}

async function writeAndRead({ client }: RedisConnection): Promise<Finding> {
  const [key, value] = [`doctor:${randomUUID()}`, randomUUID()];
  await client.set(key, value, "PX", KEY_MS);
  const read = await client.get(key);
  await client.del(key);
  if (read === value) return ok("a key was written, read and removed");
  return fail("a key that was written was not there", "have the gateway talk to the primary, not to a replica");
}
