/**
 * Whether a figure grows. Samples are gathered into windows, of which each counts as one value: the least for a heap, which rises
 * until it is collected, the middle one for all else. Over the windows the slope is that of Theil and Sen, the middle of the
 * slopes between all pairs, which single outliers do not move; its confidence interval is Sen's, from the variance of
 * Kendall's S. Neither supposes a distribution. Both suppose windows that do not depend on each other, which memory does not
 * quite grant; so a leak is what grows by more than a stated limit, too.
 */

export interface Sample {
  /** Milliseconds, of any clock. */
  readonly at: number;
  readonly value: number;
}

export interface SlopeOptions {
  readonly windowMs: number;
  /** Which value stands for a window. */
  readonly of: "least" | "middle";
}

interface Slope {
  /** By the hour, as are its bounds. */
  readonly perHour: number;
  /** Of the 95 % confidence interval. */
  readonly low: number;
  readonly high: number;
  readonly windows: number;
}

const HOUR_MS = 3_600_000;
/** Of the normal distribution, two-sided 95 %. */
const Z = 1.96;
/** With fewer, nothing is said. */
export const LEAST_WINDOWS = 10;

/** Undefined when there are too few windows to say anything. */
export function slopeOf(samples: readonly Sample[], options: SlopeOptions): Slope | undefined {
  const windows = gather(samples, options);
  if (windows.length < LEAST_WINDOWS) return undefined;
  const slopes = windows
    .flatMap((one, index) => windows.slice(index + 1).map((other) => (other.value - one.value) / (other.at - one.at)))
    .sort((one, other) => one - other)
    .map((slope) => slope * HOUR_MS);
  const half = Z * Math.sqrt(varianceOfS(windows.map(({ value }) => value)));
  const at = (rank: number) => slopes[Math.max(0, Math.min(slopes.length - 1, Math.round(rank)))] ?? 0;
  return {
    perHour: middle(slopes),
    low: at((slopes.length - half) / 2),
    high: at((slopes.length + half) / 2),
    windows: windows.length,
  };
}

/** Grows by more than the limit in an hour, and not by chance: the interval's lower end is above 0, too. */
export function isLeak(slope: Slope, limitPerHour: number): boolean {
  return slope.low > 0 && slope.perHour > limitPerHour;
}

function gather(samples: readonly Sample[], { windowMs, of }: SlopeOptions): Sample[] {
  const first = samples[0]?.at ?? 0;
  const groups = Map.groupBy(samples, ({ at }) => Math.floor((at - first) / windowMs));
  // What is left of a window at the end has seen fewer collections.
  const whole = [...groups].filter(([index]) => first + (index + 1) * windowMs <= (samples.at(-1)?.at ?? 0) + 1);
  return whole.map(([index, group]) => ({
    at: first + (index + 0.5) * windowMs,
    value: of === "least" ? Math.min(...group.map(({ value }) => value)) : middle(sorted(group)),
  }));
}

const sorted = (samples: readonly Sample[]) => samples.map(({ value }) => value).sort((one, other) => one - other);

/** Of an ordered list. */
function middle(values: readonly number[]): number {
  const half = Math.floor(values.length / 2);
  const upper = values[half] ?? 0;
  return values.length % 2 === 1 ? upper : (upper + (values[half - 1] ?? 0)) / 2;
}

/** Of Kendall's S when there is no trend, with equal values taken into account (Sen 1968). */
function varianceOfS(values: readonly number[]): number {
  const term = (count: number) => count * (count - 1) * (2 * count + 5);
  const ties = [...Map.groupBy(values, (value) => value).values()].map(({ length }) => length);
  return (term(values.length) - ties.reduce((sum, count) => sum + term(count), 0)) / 18;
}
