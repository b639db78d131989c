/** Loaded into a gateway before its program: says on request what its heap holds, and how often garbage was collected. */
import { PerformanceObserver } from "node:perf_hooks";

export interface Heap {
  /** All that was ever allocated, as long as nothing is collected. */
  readonly usedBytes: number;
  readonly collections: number;
}

let collections = 0;
new PerformanceObserver((list) => {
  collections += list.getEntries().length;
}).observe({ entryTypes: ["gc"] });

process.on("message", () => {
  const heap: Heap = { usedBytes: process.memoryUsage().heapUsed, collections };
  process.send?.(heap);
});
// Whoever asks must not keep the program from its end.
process.channel?.unref();
