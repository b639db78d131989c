import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { builtFile } from "../machine.js";

const SAMPLE_MS = 100;
const KEY = Buffer.alloc(32, 7).toString("base64");

/** How far the command was, and what it held in memory. */
export interface Sample {
  readonly seconds: number;
  readonly records: number;
  /** MB, the most until then; not a number where the system does not tell. */
  readonly memory: number;
}

/** Runs a command of the built program on a trail. The last sample is at its end, its start included. */
export async function runCommand(args: readonly string[], databaseUrl: string): Promise<Sample[]> {
  const child = spawn(process.execPath, [builtFile("main.js"), ...args], {
    env: { PATH: process.env.PATH, DATABASE_URL: databaseUrl, ...NEEDED },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const begin = performance.now();
  const samples: Sample[] = [];
  let memory = Number.NaN;
  const sampling = setInterval(() => {
    memory = peakMemory(child.pid) ?? memory;
  }, SAMPLE_MS);
  const said: string[] = [];
  const exit = once(child, "exit");
  for await (const line of createInterface({ input: child.stderr })) {
    said.push(line);
    const records = Number(/^(\d+) records/.exec(line)?.[1]);
    memory = peakMemory(child.pid) ?? memory;
    if (!Number.isNaN(records)) samples.push({ seconds: (performance.now() - begin) / 1000, records, memory });
  }
  const [code] = await exit;
  clearInterval(sampling);
  if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}: ${said.at(-1)}`);
  const records = samples.at(-1)?.records ?? 0;
  return [...samples, { seconds: (performance.now() - begin) / 1000, records, memory }];
}

/** What the configuration cannot do without, though nobody is asked there. */
const NEEDED = {
  ACS_CONNECTION_STRING: "endpoint=http://127.0.0.1:9/;accesskey=c2VjcmV0",
  OIDC_ISSUER: "http://127.0.0.1:9",
  OIDC_AUDIENCE: "bench",
  TOKEN_CACHE_KEY: KEY,
  AUDIT_KEY: KEY,
};

/** MB; as Linux tells, and nobody else does. */
function peakMemory(pid: number | undefined): number | undefined {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return kilobytes === undefined ? undefined : Number(kilobytes) / 1024;
  } catch {
    return undefined;
  }
}
