/**
 * `teardown`: says what there is to delete and, when that is confirmed, deletes every identity that the database has of the
 * configured resource. Exit code 1 when something is left.
 */
import { resourceOf } from "../acs/resource.js";
import type { Config } from "../config/config.js";
import { secretsIn } from "../config/secrets.js";
import type { Closers } from "../gateway-audit.js";
import { closeAll, connect, type Records, startWorkers } from "../gateway-base.js";
import type { ServiceWork } from "../identities/service-work.js";
import { Teardown } from "../identities/teardown.js";
import { createRedact } from "../observe/redact.js";
import { openMappingArchive } from "../store/audit-archive.js";
import type { Command, Host } from "./host.js";
import { openStandardOutput } from "./lines.js";
import { Ticker } from "./output.js";
import { commandRun, withRecords } from "./records.js";
import { describeEnd, describePace, describeStock, totalOf } from "./teardown/report.js";
import { readArguments, readReason, UsageError } from "./usage.js";

const text = { type: "string" } as const;
const OPTIONS = { config: text, confirm: text, reason: text, tries: { type: "string", default: "10" } } as const;

export const run: Command = async (args, host) => {
  const { values } = readArguments(args, OPTIONS);
  if (!/^[1-9]\d{0,3}$/.test(values.tries)) throw new UsageError("--tries is a number from 1 to 9999");
  const config = host.readConfig(values.config);
  const resource = resourceOf(config.acs);
  const { confirm } = values;
  const reason = readReason(values.reason);
  if (confirm === undefined) return await list(config, resource, host);
  if (confirm !== resource) {
    throw new UsageError(`--confirm is the host of the resource that is configured, which is ${resource}`);
  }
  return await deleteAll({ config, resource, host, reason, mostTries: Number(values.tries) });
};

/** Changes nothing. */
async function list(config: Config, resource: string, host: Host): Promise<boolean> {
  const archive = await openMappingArchive(config.store);
  try {
    const stock = await archive.inventory.takeStock(resource, host.now());
    await print(config, host, describeStock(stock, resource, host.now()));
    return true;
  } finally {
    await archive.close();
  }
}

interface TeardownJob {
  readonly config: Config;
  readonly resource: string;
  readonly host: Host;
  readonly reason: string | null;
  readonly mostTries: number;
}

async function deleteAll(job: TeardownJob): Promise<boolean> {
  const { config, resource, host } = job;
  const stopped = host.stopSignal();
  return await withRecords(config, host, async (records) => {
    const { inventory } = records.store;
    const total = totalOf(await inventory.takeStock(resource, host.now()));
    // What is under way is finished before it is said how it ended.
    const closers: Closers = [];
    let stuck: readonly ServiceWork[] = [];
    try {
      stuck = await (await openTeardown(job, { records, total, stopped }, closers)).run();
    } finally {
      await closeAll(closers);
    }
    const left = await inventory.countLeft(resource);
    const stock = await inventory.takeStock(resource, host.now());
    await print(config, host, describeEnd({ total, left, stuck, stock, isStopped: stopped.aborted }));
    return left === 0 && stock.elsewhere.length === 0;
  });
}

interface Started {
  readonly records: Records;
  readonly total: number;
  readonly stopped: AbortSignal;
}

async function openTeardown(
  { resource, host, reason, mostTries }: TeardownJob,
  { records, total, stopped }: Started,
  closers: Closers,
): Promise<Teardown> {
  const { store, audit, hashUser, now } = records;
  const asked = commandRun("teardown");
  host.report(`the audit trail has this teardown under the request id ${asked.requestId}`);
  const { eraser } = startWorkers(await connect(records, undefined, closers), closers);
  const ticker = new Ticker(host);
  const begun = now();
  return new Teardown({
    inventory: store.inventory,
    identities: store.identities,
    eraser,
    audit: audit.ofCommand(asked),
    reason,
    resource,
    mostTries,
    now,
    hashUser,
    stopped,
    observe: (left) => ticker.tick(() => describePace({ total, left, milliseconds: now() - begun })),
  });
}

async function print(config: Config, { stdout }: Host, lines: readonly string[]): Promise<void> {
  const redact = createRedact(secretsIn(config));
  const output = openStandardOutput(stdout);
  for (const line of lines) await output.print(redact(line));
  await output.close();
}
