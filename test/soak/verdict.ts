/** When all is mended and everybody has been answered: what the store, the service and the trail have to say about it all. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import type { AuditRecord } from "../../src/audit/record.js";
import { Secret } from "../../src/config/secret.js";
import { openKeys } from "../../src/keys.js";
import { openStore } from "../../src/store/store.js";
import { show } from "../faults/history.js";
import {
  checkMappings,
  checkService,
  checkTokens,
  checkTrail,
  checkWork,
  type FinalState,
  storedState,
  type Violation,
} from "../faults/invariants.js";
import { readChains } from "../fixtures/trail.js";
import type { Journal } from "./journal.js";
import type { Stage } from "./stage.js";

const WORK_DONE_MS = 120_000;
const LOOK_EVERY_MS = 500;

/** Waits until what was accepted is done. */
export async function drain(stage: Stage, journal: Journal): Promise<void> {
  const last = performance.now() + WORK_DONE_MS;
  let left = Number.NaN;
  while (performance.now() < last) {
    const [row] = await stage.postgres.ask<{ count: string }>("select count(*) as count from service_work");
    left = Number(row?.count);
    if (left === 0) return;
    await setTimeout(LOOK_EVERY_MS);
  }
  journal.wrong(`accepted work is not done after ${WORK_DONE_MS} ms, ${left} are left`);
}

export async function trailOf(stage: Stage): Promise<AuditRecord[][]> {
  return await readChains((sql) => stage.postgres.ask(sql));
}

/** No process may run any more. */
export async function judgeState(
  stage: Stage,
  journal: Journal,
  trail: readonly (readonly AuditRecord[])[],
): Promise<void> {
  const state = await finalState(stage, trail);
  const { entries } = journal;
  const violations: Violation[] = [
    ...checkMappings(entries, state),
    ...checkTokens(entries),
    ...checkService(state),
    ...checkTrail(entries, state),
    ...(await checkWork(entries, state)),
  ];
  for (const { invariant, entries: shown } of violations) {
    journal.wrong([invariant, ...shown.map((entry) => `    ${show(entry, journal.began)}`)].join("\n"));
  }
  const { code, said } = await stage.verifyTrail();
  if (code !== 0) journal.wrong(`audit verify ended with ${code}: ${said}`);
  journal.count("audit records", trail.flat().length);
  journal.count("audit chains", trail.length);
  journal.count("identities in the store", state.rows.length);
  journal.count("attempts in doubt at the end", state.attemptsInDoubt);
}

async function finalState(stage: Stage, trail: readonly (readonly AuditRecord[])[]): Promise<FinalState> {
  const key = new Secret(stage.key);
  const kind = { kind: "postgres", url: new Secret(stage.postgres.url), maxConnections: 2, queueSize: 500 } as const;
  const audit = { key, signingKey: null, earlierKeys: [] };
  const store = await openStore(kind);
  try {
    return {
      ...(await storedState(store)),
      liveAtService: await liveAtService(stage),
      isActive: (token) => isActive(stage, token),
      trail,
      fingerprint: createFingerprint(openKeys({ store: kind, tokens: { cacheKeys: [key] }, audit }).auditKey),
    };
  } finally {
    await store.close();
  }
}

async function isActive(stage: Stage, token: string): Promise<boolean> {
  return ((await stage.control("POST", "/tokens/introspect", { token })) as { active: boolean }).active;
}

async function liveAtService(stage: Stage): Promise<Set<string>> {
  const live = new Set<string>();
  let after: string | null = "";
  while (after !== null) {
    const place: string = `/identities?limit=1000${after && `&after=${encodeURIComponent(after)}`}`;
    const page = (await stage.control("GET", place)) as {
      identities: { id: string; deleted: boolean }[];
      next: string | null;
    };
    for (const { id, deleted } of page.identities) if (!deleted) live.add(id);
    after = page.next;
  }
  return live;
}

/** A JWT, an access key, a private key. */
const SECRET = /eyJ[\w-]+\.[\w-]+\.[\w-]+|accesskey=[\w+/=]{8,}|PRIVATE KEY/;

/** What the gateways have logged: no secret, and no error that nobody foresaw. */
export async function judgeLogs(stage: Stage, journal: Journal): Promise<void> {
  for (const index of stage.instances.keys()) {
    const lines = createInterface({ input: createReadStream(stage.logFile(index)) });
    for await (const line of lines) judgeLine(line, journal, index);
  }
}

function judgeLine(line: string, journal: Journal, index: number): void {
  if (SECRET.test(line)) journal.wrong(`a secret in the log of #${index}`);
  if (line.includes("INTERNAL_SERVER_ERROR"))
    journal.wrong(`an unforeseen error in the log of #${index}: ${line.slice(0, 600)}`);
  if (!line.startsWith("{")) {
    journal.wrong(`the log of #${index} has a line that is not JSON: ${line.slice(0, 300)}`);
    return;
  }
  const { level, msg } = parseLine(line);
  if (level === 50 || level === 60 || level === "error" || level === "fatal")
    journal.count(`logged as an error: ${msg?.slice(0, 80)}`);
}

/** A process that was killed may have torn its last line, which says nothing then. */
function parseLine(line: string): { level?: number | string; msg?: string } {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}
