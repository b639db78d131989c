/** `export`: every live mapping, streamed from the database to CSV or JSON lines. Exit code 1 when it was stopped before its end. */
import { brokenOff, type MappingArchive, openMappingArchive } from "../store/audit-archive.js";
import type { Command, Host } from "./host.js";
import { type Lines, openLines, openStandardOutput } from "./lines.js";
import { type Continued, continueIn } from "./mappings/continue.js";
import { CSV_HEADER } from "./mappings/csv.js";
import { formatOf } from "./mappings/row.js";
import { writeRow } from "./mappings/write.js";
import { Progress } from "./output.js";
import { readArguments, UsageError } from "./usage.js";

const text = { type: "string" } as const;
const OPTIONS = { config: text, format: text, out: text, resume: { type: "boolean", default: false } } as const;

const PAGE = 500;

export const run: Command = async (args, host) => {
  const { values } = readArguments(args, OPTIONS);
  const { out, resume } = values;
  if (resume && out === undefined) throw new UsageError("--resume needs --out FILE, the file to go on in");
  const format = formatOf(out, values.format ?? (out === undefined ? "csv" : undefined));
  const stopped = host.stopSignal();
  const archive = await openMappingArchive(host.readArchiveConfig(values.config).store);
  try {
    const begin: Continued =
      resume && out !== undefined ? await continueIn(out, format) : { after: "", needsHeader: format === "csv" };
    const lines = out === undefined ? openStandardOutput(host.stdout) : await openLines(out, resume);
    try {
      if (begin.needsHeader) await lines.print(CSV_HEADER);
      return await exportAll(begin.after, { archive, format, lines, host, stopped });
    } finally {
      await lines.close();
    }
  } finally {
    await archive.close();
  }
};

interface Export {
  readonly archive: MappingArchive;
  readonly format: ReturnType<typeof formatOf>;
  readonly lines: Lines;
  readonly host: Host;
  readonly stopped: AbortSignal;
}

async function exportAll(begin: string, { archive, format, lines, host, stopped }: Export): Promise<boolean> {
  const progress = new Progress(host, "mappings");
  let after = begin;
  let count = 0;
  for (;;) {
    const page = await archive.mappings.page(after, PAGE).catch((error: unknown) => {
      throw brokenOff(error, archive, "Go on with --resume");
    });
    if (stopped.aborted) {
      host.report(`${count} mappings, stopped: go on with --resume`);
      return false;
    }
    // One write for all of them, which costs as much as one of each.
    if (page.length > 0) await lines.print(page.map((identity) => writeRow(format, identity)).join("\n"));
    count += page.length;
    progress.at(count);
    const last = page.at(-1)?.communicationUserId;
    if (last === undefined || last === null) break;
    after = last;
  }
  progress.end(count, archive.name);
  await tellLeftOut(archive, host);
  return true;
}

async function tellLeftOut({ mappings }: MappingArchive, host: Host): Promise<void> {
  const { PROVISIONING: without, SUSPENDED: suspended, DELETING: deleting } = await mappings.countLeftOut();
  if (without > 0) host.report(`left out: ${without} users who have no identity at the service yet`);
  if (suspended > 0)
    host.report(
      `left out: ${suspended} suspended users who have no identity at the service: where you go, nobody knows that they are suspended`,
    );
  if (deleting > 0)
    host.report(`left out: ${deleting} identities that are being deleted: let the gateway finish before you leave it`);
}
