/** `import`: takes in, row by row, mappings that somebody has already. Exit code 1 when a row was refused or left. */
import type { Config } from "../config/config.js";
import { StartError } from "../errors.js";
import type { Command, Host } from "./host.js";
import { Import, type ImportOptions } from "./import/import.js";
import { openReport } from "./import/report.js";
import { withTarget } from "./import/target.js";
import { openLines, openStandardOutput } from "./lines.js";
import { bytesOf, endedBy, readRows } from "./mappings/read.js";
import { formatOf } from "./mappings/row.js";
import { readArguments, readReason, UsageError } from "./usage.js";

const text = { type: "string" } as const;
const flag = { type: "boolean", default: false } as const;
const OPTIONS = {
  config: text,
  file: text,
  format: text,
  report: text,
  reason: text,
  "from-line": text,
  "resource-id": text,
  "allow-issuer": { type: "string", multiple: true, default: [] as string[] },
  "allow-erased": flag,
  "dry-run": flag,
} as const;

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const run: Command = async (args, host) => {
  const { values } = readArguments(args, OPTIONS);
  const { file } = values;
  if (file === undefined) throw new UsageError("import needs --file FILE, or --file - for standard input");
  const format = formatOf(file, values.format);
  const resourceId = values["resource-id"]?.toLowerCase();
  if (resourceId !== undefined && !GUID.test(resourceId)) throw new UsageError("--resource-id is a GUID");
  const options = { resourceId, fromLine: lineIn(values["from-line"]), issuers: values["allow-issuer"] };
  const config = host.readConfig(values.config);
  const terms = {
    isDry: values["dry-run"],
    allowErased: values["allow-erased"],
    reason: readReason(values.reason),
  };
  const rows = (stopped: AbortSignal) => readRows(format, file === "-" ? endedBy(stopped, host.stdin) : bytesOf(file));
  return await importRows({ config, host, options, terms, rows, reportFile: values.report });
};

interface ImportJob {
  readonly config: Config;
  readonly host: Host;
  readonly options: ImportOptions;
  readonly terms: Parameters<typeof withTarget>[2];
  readonly rows: (stopped: AbortSignal) => ReturnType<typeof readRows>;
  readonly reportFile: string | undefined;
}

async function importRows({ config, host, options, terms, rows, reportFile }: ImportJob): Promise<boolean> {
  const stopped = host.stopSignal();
  const output = openStandardOutput(host.stdout);
  const file = reportFile === undefined ? undefined : await openLines(reportFile, false);
  const report = openReport({ file, output, isDry: terms.isDry });
  try {
    const isDone = await withTarget(config, host, terms, async (target) => {
      const work = new Import({ target, config, report, host, stopped, options });
      return await work.run(rows(stopped));
    });
    await report.end(isDone);
    return isDone && report.refused === 0;
  } catch (error) {
    if (error instanceof StartError) await report.end(false);
    throw error;
  } finally {
    await file?.close();
    await output.close();
  }
}

function lineIn(said: string | undefined): number {
  if (said === undefined) return 1;
  if (!/^[1-9]\d{0,11}$/.test(said)) throw new UsageError("--from-line is the number of a line, from 1");
  return Number(said);
}
