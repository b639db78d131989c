import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { GatewayError } from "../../src/errors.js";
import { Streams } from "../../src/http/streams.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("a stream ends soon after its caller's token is good no longer, and is not looked after once it has ended", async () => {
  const caller = { issuer: "https://i.example.com", subject: "alice", claims: { exp: 1e6 }, senderConstraint: null };
  const refusal = new GatewayError("UNAUTHENTICATED", "no longer");
  let isGood = true;
  const requireStillGood = vi.fn(async () => {
    if (!isGood) throw refusal;
  });
  const streams = new Streams({ most: 2, mostPerUser: 2, callerCheck: { requireStillGood }, now: () => 0 });
  let ended: AbortSignal | undefined;
  const results = await streams.begin(caller, async (signal) => {
    ended = signal;
    return (async function* () {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      yield signal.reason;
    })();
  });
  const first = results.next();
  await vi.advanceTimersByTimeAsync(25_000);
  expect(requireStillGood).toHaveBeenCalledWith(caller);
  expect(ended?.aborted).toBe(false);
  isGood = false;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await first).toEqual({ value: refusal, done: false });
  await results.return(undefined);
  const looks = requireStillGood.mock.calls.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(requireStillGood).toHaveBeenCalledTimes(looks);
  expect(streams.count).toBe(0);
});
