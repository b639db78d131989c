/** A server's turn under load, and the figures of it. */
import { median, quantile } from "./figures.js";
import { checkIssued } from "./issuing.js";
import { type LoadRequest, load } from "./load.js";
import type { ServerProcess } from "./server.js";

export interface Turn {
  readonly perSecond: number;
  readonly cpuMicroseconds: number;
  /** ms */
  readonly middle: number;
  readonly slow: number;
  /** Of the load generator; a share of a core. */
  readonly busy: number;
}

interface TurnOptions {
  readonly connections: number;
  readonly seconds: number;
}

export async function turn(
  server: ServerProcess,
  requests: readonly LoadRequest[],
  options: TurnOptions,
): Promise<Turn> {
  const before = await server.usage();
  const done = await load({ ...options, url: server.url, requests, check: checkIssued() });
  const after = await server.usage();
  return {
    perSecond: done.requests / done.seconds,
    cpuMicroseconds: (after.cpuMicroseconds - before.cpuMicroseconds) / done.requests,
    middle: median(done.latencies),
    slow: quantile(done.latencies, 0.99),
    busy: done.busy,
  };
}
