import { RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import type { RedisConnection } from "../shared/redis.js";
import type { Counter, CounterOptions } from "./counter.js";

/**
 * In place of the library's script, which counts on above the limit: what is refused would have to be counted back. And
 * what is given back must not open a window, let alone with more than the limit in it. Answers the count, above the limit
 * if refused, and the milliseconds left. A key without an end, which nobody here writes, begins anew.
 */
const TAKE_OR_GIVE_BACK = `
local points, seconds, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local left = redis.call('pttl', KEYS[1])
local spent = left >= 0 and tonumber(redis.call('get', KEYS[1])) or 0
if points < 0 then
  if spent > 0 then spent = redis.call('incrby', KEYS[1], points) end
  return {spent, left}
end
if left < 0 then
  redis.call('set', KEYS[1], 0, 'EX', seconds)
  left = seconds * 1000
end
if spent + points > limit then return {limit + points, left} end
return {redis.call('incrby', KEYS[1], points), left}
`;

interface RedisOptions extends CounterOptions {
  /** Sets this counter's keys apart from other counters'. */
  readonly name: string;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
}

/** More than a command to Redis may take. */
const END_MARGIN_MS = 500;

/** Shared by all instances of one Redis, which bounds its memory by its own `maxmemory` setting. Windows are by its clock. */
export function redisCounter(
  { client }: RedisConnection,
  { name, limit, windowSeconds, elapsed }: RedisOptions,
): Counter {
  const limiter = new RateLimiterRedis({
    storeClient: client,
    keyPrefix: `limits:${name}`,
    points: limit,
    duration: windowSeconds,
    rejectIfRedisNotReady: true,
    customIncrTtlLuaScript: TAKE_OR_GIVE_BACK,
  });
  const giveBack = async (key: string, until: number) => {
    // What comes close to the end could reach into the next window, and lift its limit.
    if (elapsed() > until - END_MARGIN_MS) return;
    // Lost when Redis has gone meanwhile: the window then grants one less.
    await limiter.reward(key).catch(() => {});
  };
  return {
    take: async (key) => {
      const asked = elapsed();
      const { granted, state } = await consume(limiter, key);
      const { remainingPoints: remaining, msBeforeNext: msLeft } = state;
      return { granted, limit, remaining, msLeft, giveBack: () => giveBack(key, asked + msLeft) };
    },
  };
}

/** The library rejects with its state when there is nothing left, and with an error when Redis could not be asked. */
async function consume(limiter: RateLimiterRedis, key: string): Promise<{ granted: boolean; state: RateLimiterRes }> {
  try {
    return { granted: true, state: await limiter.consume(key) };
  } catch (state) {
    if (state instanceof RateLimiterRes) return { granted: false, state };
    throw state;
  }
}
