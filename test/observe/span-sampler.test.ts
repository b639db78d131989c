import { ROOT_CONTEXT, SpanKind, trace } from "@opentelemetry/api";
import { SamplingDecision } from "@opentelemetry/sdk-trace";
import { expect, it } from "vitest";
import { createSampler } from "../../src/observe/span-sampler.js";

/** In every share that is more than nothing. */
const IN_ANY = "00000000000000010000000000000001";
const PARENT = "b7ad6b7169203331";
let now = 0;

interface Asked {
  readonly isRemote?: boolean;
  readonly isSampled?: boolean;
}

function recorded(
  sampler: ReturnType<typeof createSampler>,
  { isRemote = true, isSampled = true }: Asked = {},
): boolean {
  const parent = { traceId: IN_ANY, spanId: PARENT, traceFlags: isSampled ? 1 : 0, isRemote };
  const context = trace.setSpanContext(ROOT_CONTEXT, parent);
  const { decision } = sampler.shouldSample(context, IN_ANY, "span", SpanKind.SERVER, {}, []);
  return decision === SamplingDecision.RECORD_AND_SAMPLED;
}

const many = (sampler: ReturnType<typeof createSampler>, asked?: Asked) =>
  Array.from({ length: 50 }, () => recorded(sampler, asked)).filter(Boolean).length;

const sampler = (root: number, isParentBased: boolean, callerTracesPerSecond = 10) =>
  createSampler({ root, isParentBased, callerTracesPerSecond, elapsed: () => now });

it("records no more for callers who say so than so many a second", () => {
  const bounded = sampler(0.01, true);
  expect(many(bounded)).toBe(10);
  now += 500;
  expect(many(bounded)).toBe(5);
  now += 60_000;
  expect(many(bounded)).toBe(10);
});

it("records no more for callers who choose an id that is in the share", () => {
  expect(many(sampler(0.01, false))).toBe(10);
});

it("records nothing for callers when that is set", () => {
  expect(many(sampler(0.01, true, 0))).toBe(0);
});

it("records what is part of a request that is recorded, however many", () => {
  const bounded = sampler(0.01, true);
  expect(many(bounded, { isRemote: false })).toBe(50);
  expect(many(bounded)).toBe(10);
});

it("records everything when everything is to be", () => {
  expect(many(sampler(1, false))).toBe(50);
  expect(many(sampler(1, true))).toBe(50);
});

it("does as a caller who wants nothing recorded says, if parents are heeded", () => {
  expect(many(sampler(1, true), { isSampled: false })).toBe(0);
  expect(many(sampler(1, false), { isSampled: false })).toBe(50);
});
