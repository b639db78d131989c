/** Which traces are recorded: by OpenTelemetry's standard samplers, and no more for callers' sakes than there is room for. */
import { type Context, trace } from "@opentelemetry/api";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  type SamplingResult,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace";
import type { TraceSampler } from "../config/trace-export.js";

interface SamplerParts extends TraceSampler {
  readonly callerTracesPerSecond: number;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
}

export function createSampler({ root, isParentBased, callerTracesPerSecond, elapsed }: SamplerParts): Sampler {
  const own = samplerOf(root);
  const standard = isParentBased ? new ParentBasedSampler({ root: own }) : own;
  // Whoever has everything recorded loses nothing to a caller.
  return root === 1 ? standard : new BoundedForCallers(standard, callerTracesPerSecond, elapsed);
}

function samplerOf(share: number): Sampler {
  if (share === 1) return new AlwaysOnSampler();
  return share === 0 ? new AlwaysOffSampler() : new TraceIdRatioBasedSampler(share);
}

/**
 * A caller chooses its trace's id and says whether it is recorded (W3C Trace Context §3.2.2.5), so that either would let it have
 * each of its requests recorded here, which the operator pays for. So many a second are; beyond that, those that begin here.
 */
class BoundedForCallers implements Sampler {
  #left: number;
  #filledAt: number;

  constructor(
    private readonly standard: Sampler,
    private readonly perSecond: number,
    private readonly elapsed: () => number,
  ) {
    this.#left = perSecond;
    this.#filledAt = elapsed();
  }

  shouldSample(context: Context, ...about: Rest): SamplingResult {
    const result = this.standard.shouldSample(context, ...about);
    const isCallers = trace.getSpanContext(context)?.isRemote === true;
    if (result.decision === SamplingDecision.NOT_RECORD || !isCallers || this.#take()) return result;
    return { decision: SamplingDecision.NOT_RECORD };
  }

  #take(): boolean {
    const now = this.elapsed();
    this.#left = Math.min(this.perSecond, this.#left + ((now - this.#filledAt) / 1000) * this.perSecond);
    this.#filledAt = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

type Rest = Parameters<Sampler["shouldSample"]> extends [unknown, ...infer Others] ? Others : never;
