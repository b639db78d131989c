/** A server's turn under load, and the figures of it. */
import { setTimeout } from "node:timers/promises";
import { median, quantile } from "./figures.js";
import { checkIssued } from "./issuing.js";
import { type LoadRequest, load } from "./load.js";
import type { ServerProcess } from "./server.js";

export interface Turn {
  readonly perSecond: number;
  /** Of the processor, a request, while there was load. */
  readonly cpuMicroseconds: number;
  /** The same for what the server has put off and does once the load is over. */
  readonly putOffMicroseconds: number;
  /** ms */
  readonly middle: number;
  readonly slow: number;
  /** Of the load generator; a share of a core. */
  readonly busy: number;
}

/** Not measured: V8 has dropped compiled code of a server that was idle while the others had their turns. No longer than what is. */
const LEAD_IN_SECONDS = 4;

interface TurnOptions {
  readonly connections: number;
  readonly seconds: number;
}

export async function turn(
  server: ServerProcess,
  requests: readonly LoadRequest[],
  options: TurnOptions,
): Promise<Turn> {
  const leadIn = { ...options, seconds: Math.min(LEAD_IN_SECONDS, options.seconds) };
  await load({ ...leadIn, url: server.url, requests, check: checkIssued() });
  const before = await server.usage();
  const done = await load({ ...options, url: server.url, requests, check: checkIssued() });
  const after = await server.usage();
  const settled = await settle(server, Math.min(LOOK_MS, options.seconds * 1000));
  return {
    perSecond: done.requests / done.seconds,
    cpuMicroseconds: (after.cpuMicroseconds - before.cpuMicroseconds) / done.requests,
    putOffMicroseconds: (settled - after.cpuMicroseconds) / done.requests,
    middle: median(done.latencies),
    slow: quantile(done.latencies, 0.99),
    busy: done.busy,
  };
}

/** No longer than the load was, as what takes so little time is there to be seen to work. */
const LOOK_MS = 500;
const LONGEST_LOOKS = 240;
/** Of a core, in what is idle: on a slow machine that watches its event loop for some 4 %, and what is listing works half of the time. */
const IDLE = 0.1;
/** The gateway looks about as often whether it has time for what it has put off, and for how much of the time before it was busy. */
const IDLE_LOOKS = 3;

/** Waits until the server has nothing left to do, so that it does not do it in another's turn. Its use of the processor by then. */
async function settle(server: ServerProcess, lookMs: number): Promise<number> {
  let { cpuMicroseconds: used } = await server.usage();
  let idleLooks = 0;
  for (let looks = 0; looks < LONGEST_LOOKS && idleLooks < IDLE_LOOKS; looks++) {
    await setTimeout(lookMs);
    const { cpuMicroseconds } = await server.usage();
    idleLooks = (cpuMicroseconds - used) / 1000 / lookMs < IDLE ? idleLooks + 1 : 0;
    used = cpuMicroseconds;
  }
  return used;
}
