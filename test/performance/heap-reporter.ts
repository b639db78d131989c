/** Loaded into a gateway before its program: says on request what its heap holds, and how often garbage was collected. */
import { constants, type PerformanceEntry, PerformanceObserver } from "node:perf_hooks";
import { getHeapSpaceStatistics } from "node:v8";

export interface Heap {
  /** All that was ever allocated, as long as nothing is collected. */
  readonly usedBytes: number;
  readonly collections: number;
  /** Of the old generation: all that ever came to it, as long as it is not swept. */
  readonly oldBytes: number;
  /** Collections that sweep the old generation. */
  readonly sweeps: number;
}

/** What the types of Node leave out. */
type Collection = PerformanceEntry & { readonly detail: { readonly kind: number } };

let collections = 0;
let sweeps = 0;
new PerformanceObserver((list) => {
  for (const { detail } of list.getEntries() as Collection[]) {
    collections += 1;
    if (detail.kind !== constants.NODE_PERFORMANCE_GC_MINOR) sweeps += 1;
  }
}).observe({ entryTypes: ["gc"] });

process.on("message", () => {
  const oldSpace = getHeapSpaceStatistics().find(({ space_name }) => space_name === "old_space");
  const heap: Heap = {
    usedBytes: process.memoryUsage().heapUsed,
    collections,
    oldBytes: oldSpace?.space_used_size ?? 0,
    sweeps,
  };
  process.send?.(heap);
});
// Whoever asks must not keep the program from its end.
process.channel?.unref();
