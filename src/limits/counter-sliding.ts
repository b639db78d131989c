/**
 * Counts takes in a time that slides: no more than the limit in any so many intervals, each of which is as long.
 *
 * Half of the limit is spread evenly over the intervals. The other half is lent to who comes first: an interval may have a quarter
 * of what those before it have left. So a crowd after a quiet time gets much at once, and however long it stays, there is
 * something in each interval.
 */
import type { RedisConnection } from "../shared/redis.js";
import type { Counter, Take } from "./counter.js";

interface SlidingOptions {
  /** In any so many intervals. */
  readonly limit: number;
  readonly intervals: number;
  readonly intervalMs: number;
}

interface MemoryOptions extends SlidingOptions {
  /** Only what is spread evenly: for who stands in for another counter, which may just have lent all that there is. */
  readonly lendsNothing?: boolean;
  readonly now: () => number;
}

/** Of what is left to be lent, an interval may have one part in so many. */
const LENT_PARTS = 4;

/** What is spread evenly. */
function evenPart({ limit }: SlidingOptions): number {
  return Math.floor(limit / 2);
}

/** In this process. For few keys: none is forgotten. */
export function slidingMemoryCounter(options: MemoryOptions): Counter {
  const { limit, intervals, intervalMs, lendsNothing = false, now } = options;
  // Where nothing is lent this is all there is, and half of one would be none.
  const even = lendsNothing ? Math.max(1, evenPart(options)) : evenPart(options);
  /** Of an interval, whatever is lent; in whole numbers, so that any so many have all of it. */
  const shareOf = (interval: number) => {
    const place = interval % intervals;
    return Math.floor(((place + 1) * even) / intervals) - Math.floor((place * even) / intervals);
  };
  const spentOf = new Map<string, Map<number, number>>();
  return {
    take: async (key) => {
      const time = now();
      const interval = Math.floor(time / intervalMs);
      const spent = spentOf.get(key) ?? new Map<number, number>();
      spentOf.set(key, spent);
      let lent = 0;
      for (const [other, count] of spent) {
        if (Math.abs(other - interval) >= intervals) spent.delete(other);
        else if (other !== interval) lent += Math.max(0, count - shareOf(other));
      }
      const toLend = lendsNothing ? 0 : Math.max(0, Math.ceil((limit - even - lent) / LENT_PARTS));
      const share = shareOf(interval) + toLend;
      const here = spent.get(interval) ?? 0;
      const granted = here < share;
      if (granted) spent.set(interval, here + 1);
      const giveBack = async () => {
        const count = spent.get(interval) ?? 0;
        if (count > 0) spent.set(interval, count - 1);
      };
      const remaining = Math.max(0, share - here - (granted ? 1 : 0));
      return { granted, limit, remaining, msLeft: (interval + 1) * intervalMs - time, giveBack };
    },
  };
}

/**
 * The same, by the clock of Redis. What is counted in an interval that is yet to come, as after a failover to a server whose clock is
 * behind, counts as what has been.
 */
const TAKE = `
local interval_ms, intervals, limit, even, parts = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local clock = redis.call('time')
local time = clock[1] * 1000 + math.floor(clock[2] / 1000)
local interval = math.floor(time / interval_ms)
local function share_of(other)
  local place = other % intervals
  return math.floor((place + 1) * even / intervals) - math.floor(place * even / intervals)
end
local lent, here = 0, 0
local spent = redis.call('hgetall', KEYS[1])
for index = 1, #spent, 2 do
  local other, count = tonumber(spent[index]), tonumber(spent[index + 1])
  if math.abs(other - interval) >= intervals then redis.call('hdel', KEYS[1], spent[index])
  elseif other ~= interval then lent = lent + math.max(0, count - share_of(other))
  else here = count end
end
local share = share_of(interval) + math.max(0, math.ceil((limit - even - lent) / parts))
local left = (interval + 1) * interval_ms - time
if here >= share then return {0, 0, left, interval} end
redis.call('hincrby', KEYS[1], interval, 1)
redis.call('pexpire', KEYS[1], intervals * interval_ms)
return {1, share - here - 1, left, interval}
`;

/** Nothing, where the interval is gone. */
const GIVE_BACK = `
local count = tonumber(redis.call('hget', KEYS[1], ARGV[1]) or 0)
if count > 0 then redis.call('hincrby', KEYS[1], ARGV[1], -1) end
return 0
`;

interface Commands {
  slidingTake(
    key: string,
    ...options: number[]
  ): Promise<[granted: 0 | 1, remaining: number, left: number, interval: number]>;
  slidingGiveBack(key: string, interval: number): Promise<unknown>;
}

/** Shared by all instances of one Redis. */
export function slidingRedisCounter(
  { client }: Pick<RedisConnection, "client">,
  { name, ...options }: SlidingOptions & { /** Sets this counter's keys apart. */ readonly name: string },
): Counter {
  const { limit, intervals, intervalMs } = options;
  client.defineCommand("slidingTake", { numberOfKeys: 1, lua: TAKE });
  client.defineCommand("slidingGiveBack", { numberOfKeys: 1, lua: GIVE_BACK });
  const commands = client as unknown as Commands;
  const even = evenPart(options);
  return {
    take: async (key): Promise<Take> => {
      const at = `${name}:${key}`;
      const [granted, remaining, msLeft, interval] = await commands.slidingTake(
        at,
        intervalMs,
        intervals,
        limit,
        even,
        LENT_PARTS,
      );
      const giveBack = async () => {
        // Lost when Redis has gone meanwhile: the interval then grants one less.
        await commands.slidingGiveBack(at, interval).catch(() => {});
      };
      return { granted: granted === 1, limit, remaining, msLeft, giveBack };
    },
  };
}
