#!/usr/bin/env node
/**
 * The command line, and the only file that touches the process. Exit codes: 0 done, 1 a check failed, 2 wrong usage or
 * configuration.
 */
import type { Command, Host } from "./commands/host.js";
import type { Lines } from "./commands/lines.js";
import { readArguments as parse, UsageError } from "./commands/usage.js";
import type { ArchiveConfig, Config } from "./config/config.js";
import { ConfigError } from "./config/fault.js";
import { loadArchiveConfig, loadConfig, printConfig } from "./config/load.js";
import { useProxy } from "./config/proxy.js";
import { secretsIn } from "./config/secrets.js";
import { GatewayError, StartError } from "./errors.js";
import { tuneV8 } from "./heap.js";
import { guardStream } from "./observe/guard-stream.js";
import { drained, type LogOutput, logOutput } from "./observe/log-output.js";
import { createLogger, type Logger } from "./observe/logger.js";
import { createRedact, type Redact } from "./observe/redact.js";
import { reasonOf } from "./store/reason.js";
import { printable, printableLine } from "./text.js";
import { VERSION } from "./version.js";

const USAGE = `Usage: acs-token-gateway [command] [options]

Commands
  serve              start the gateway (what happens without a command)
  dev                start it with an embedded service emulator, OpenID issuer and database, to try it and to develop
  emulator           start the Communication Services identity emulator alone
  config check       check the configuration and print what is in force, secrets hidden
  doctor             try every dependency, and say what is wrong and what to do about it
  import             take in mappings of users to identities that you have already
  export             print all mappings, as import takes them
  teardown           say what there is to delete; with --confirm, delete every identity that the database has
  audit verify       check that the audit trail is whole, and name the first record that was edited, removed or inserted
  audit export       print the audit trail as JSON lines
  audit fingerprint  print what stands in the audit trail for the token on standard input

Options
  --config FILE  read this file instead of gateway.yaml (also: GATEWAY_CONFIG)
  --help         this text
  --version      which version this is

Options of audit verify
  --export FILE        check an export instead of the database
  --checkpoints FILE   the trail has to have every record that these checkpoints stand for
  --public-key FILE    what is signed is signed with this key instead of the configured ones; may be given several times

Options of audit export
  --since INSTANT      only records of this instant or later, such as 2026-01-31T00:00:00Z
  --until INSTANT      only records from before this instant; where a clock was set back, each chain from its first
                       record within these times up to the next one that is past them, so that the part verifies
  --after ID           go on after this record, the last one of an export that was broken off, with the same other
                       options; a last line that was cut off has to be removed first. Not for a later export of
                       what is new since then: records are in no order of time, and some would be left out
  --out FILE           write to this file, which must not be there yet; with --after, add to it

Options of doctor
  --write              make an identity at the service, have it a token, revoke that, delete the identity; and send a
                       test line to an address for checkpoints
  --json               print one JSON document

Options of import
  --file FILE          CSV with a header, or JSON lines: issuer, subject, communicationUserId; - is standard input
  --format csv|jsonl   if the file's name does not end so
  --dry-run            look at every row and change nothing
  --report FILE        name every refused row in this file, which must not be there yet
  --from-line N        pass over all lines before this one
  --resource-id GUID   the resource's immutable id, while the database has none of its identities
  --allow-issuer TEXT  take users of this issuer, too, which the configuration does not have; may be given several times
  --allow-erased       take users, too, who were deleted here
  --reason TEXT        for the audit trail

Options of export
  --out FILE           write to this file, which must not be there yet
  --resume             go on in that file, after the last whole row of an export that was broken off
  --format csv|jsonl   if the file's name does not end so; csv on standard output

Options of teardown
  --confirm HOST       delete; HOST is that of the configured resource, as teardown says it
  --tries N            try one that the service will not delete so often (10) before the rest is said to be left
  --reason TEXT        for the audit trail

Options of emulator
  --host HOST          address to listen on (127.0.0.1)
  --port PORT          port to listen on; 0 takes any (4002)
  --file FILE          keep identities and keys in this file; otherwise they last as long as the process
  --access-key BASE64  use this access key instead of a random one
  --resource-id GUID   be this resource instead of a random one
  --latency realistic  take as long as the service does
  --rate-limits        refuse what goes over the service's published limits
`;

/** All is over this long after SIGTERM, whatever hangs. */
const DRAIN_MS = 10_000;
/** How long a reader of standard output may take for the last lines. */
const OUTPUT_MS = 1000;

/** Each has its options, and what it does, in a file of its own. */
const OPERATORS: Readonly<Record<string, () => Promise<{ readonly run: Command }>>> = {
  doctor: () => import("./commands/doctor.js"),
  export: () => import("./commands/export.js"),
  import: () => import("./commands/import.js"),
  teardown: () => import("./commands/teardown.js"),
};

interface Running {
  close(): Promise<void>;
}

async function main(args: readonly string[]): Promise<void> {
  const [command = "serve", ...rest] = args[0]?.startsWith("-") === false ? args : ["serve", ...args];
  if (args.includes("--help") || args.includes("-h") || command === "help") return print(USAGE);
  if (args.includes("--version")) return print(VERSION);
  switch (command) {
    case "serve":
      return await run(() => serve(readOptions(rest)));
    case "dev":
      return await run(() => dev(readOptions(rest)));
    case "emulator":
      return await run(() => emulator(rest));
    case "config":
      if (rest[0] !== "check") throw new UsageError("config needs the word check");
      return print(printConfig(loadConfig(readOptions(rest.slice(1)).config, process.env, "production")));
    case "audit":
      return await audit(rest);
    default:
      return await operate(command, rest);
  }
}

async function operate(command: string, args: readonly string[]): Promise<void> {
  const load = Object.hasOwn(OPERATORS, command) ? OPERATORS[command] : undefined;
  if (load === undefined) throw new UsageError(`there is no command ${command}`);
  const { run } = await load();
  const host: Host = {
    // Not opened unless somebody reads it.
    get stdin() {
      return process.stdin;
    },
    stdout: process.stdout,
    report,
    readConfig: (config) => readConfigOf({ config }),
    readArchiveConfig: (config) => readArchiveConfigOf({ config }),
    stopSignal,
    now: Date.now,
  };
  if (!(await run(args, host))) failed();
}

function stopSignal(): AbortSignal {
  const stopped = new AbortController();
  const stop = () => {
    if (stopped.signal.aborted) process.exit(1);
    stopped.abort();
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  return stopped.signal;
}

/** For all that is said on standard error; knows the configured secrets as soon as they are read. */
let redact: Redact = createRedact([]);

async function openLog(config: Config, auto: "json" | "pretty" = "json"): Promise<Logger> {
  const secrets = secretsIn(config);
  redact = createRedact(secrets);
  const output = logOutput(process.stdout, Date.now);
  process.on("exit", () => output.flush());
  const { level, format } = config.log;
  const isPretty = (format === "auto" ? auto : format) === "pretty";
  return createLogger({ level, secrets, destination: isPretty ? await makePretty(output) : output });
}

async function makePretty(output: LogOutput): Promise<Pick<LogOutput, "write">> {
  const { prettyLines } = await import("./observe/pretty-log.js");
  return prettyLines(output, process.stdout.isTTY && process.stdout.hasColors());
}

interface CommonOptions {
  readonly config?: string | undefined;
}

function readOptions(args: readonly string[]): CommonOptions {
  return parse(args, { config: { type: "string" } } as const).values;
}

async function serve(options: CommonOptions): Promise<Running> {
  const config = loadConfig(options.config, process.env, "production");
  useProxy(config.proxy, process.env);
  tuneV8();
  const { startGateway } = await import("./gateway.js");
  const logger = await openLog(config);
  const gateway = await startGateway(config, { logger, standardOutput: process.stdout });
  logger.info(
    { version: VERSION, url: gateway.url, publicUrl: config.server.publicUrl, adminUrl: gateway.adminUrl },
    "listening",
  );
  return gateway;
}

async function dev(options: CommonOptions): Promise<Running> {
  const { startDev } = await import("./dev/dev.js");
  const running = await startDev({
    configFile: options.config,
    env: process.env,
    createLogger: (config) => openLog(config, process.stdout.isTTY ? "pretty" : "json"),
    standardOutput: process.stdout,
  });
  print(running.welcome);
  return running;
}

async function emulator(args: readonly string[]): Promise<Running> {
  const { values } = parse(args, {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "4002" },
    file: { type: "string" },
    "access-key": { type: "string" },
    "resource-id": { type: "string" },
    latency: { type: "string", default: "none" },
    "rate-limits": { type: "boolean", default: false },
  } as const);
  const { host, file, latency } = values;
  if (latency !== "none" && latency !== "realistic") throw new UsageError("--latency is none or realistic");
  if (!/^\d{1,5}$/.test(values.port)) throw new UsageError("--port is a number");
  const { startEmulator } = await import("./emulator/emulator.js");
  const started = await startEmulator({
    host,
    port: Number(values.port),
    file,
    accessKey: values["access-key"],
    resourceId: values["resource-id"],
    latency,
    rateLimits: values["rate-limits"],
  }).catch((error: NodeJS.ErrnoException) => {
    throw new StartError(
      `The emulator cannot start (${error.message}): check --port, --host, --file, --access-key and --resource-id.`,
    );
  });
  print(
    `Communication Services identity emulator at ${started.endpoint}, controls at ${started.endpoint}_emulator\n\nACS_CONNECTION_STRING="${started.connectionString}"\n`,
  );
  return started;
}

async function audit([command, ...args]: readonly string[]): Promise<void> {
  if (command === "verify") return await auditVerify(args);
  if (command === "export") return await auditExport(args);
  if (command === "fingerprint") return await auditFingerprint(args);
  throw new UsageError("audit needs the word verify, export or fingerprint");
}

async function auditVerify(args: readonly string[]): Promise<void> {
  const text = { type: "string" } as const;
  const texts = { type: "string", multiple: true } as const;
  const options = { config: text, export: text, checkpoints: text, "public-key": texts } as const;
  const { values } = parse(args, options);
  const { checkpoints, export: exportFile, "public-key": keyFiles } = values;
  const commands = await import("./commands/audit-verify.js");
  const { findPublicCheckpointKeys } = await import("./keys.js");
  const lines = await standardOutput();
  const output = { print: lines.print, report, now: Date.now };
  const source = exportFile === undefined ? { store: readArchiveConfigOf(values).store } : { exportFile };
  // An export by itself needs no configuration.
  const needsKeys = keyFiles !== undefined || checkpoints !== undefined || exportFile === undefined;
  const named = keyFiles?.map(commands.readKeyFile);
  const keys = once(() => named ?? findPublicCheckpointKeys(readArchiveConfigOf(values)));
  const vouched = checkpoints === undefined ? undefined : await commands.readCheckpoints(checkpoints, keys(), output);
  const trust = { vouched, keys: needsKeys ? keys : undefined };
  const isRefused = checkpoints !== undefined && vouched === undefined;
  if (isRefused || !(await commands.verifyTrail(source, trust, output))) failed();
  await lines.close();
}

async function standardOutput(): Promise<Lines> {
  const { openStandardOutput } = await import("./commands/lines.js");
  return openStandardOutput(process.stdout);
}

function once<Result>(make: () => Result): () => Result {
  let made: { readonly result: Result } | undefined;
  return () => {
    made ??= { result: make() };
    return made.result;
  };
}

/** With what is still to be written out. */
function failed(): void {
  process.exitCode = 1;
}

async function auditExport(args: readonly string[]): Promise<void> {
  const text = { type: "string" } as const;
  const { values } = parse(args, { config: text, since: text, until: text, after: text, out: text } as const);
  const { after, out } = values;
  const stopped = stopSignal();
  const options = { since: instant("since", values.since), until: instant("until", values.until), after, stopped };
  if (options.since !== undefined && options.until !== undefined && options.since >= options.until)
    throw new UsageError("--since is before --until");
  const { store } = readArchiveConfigOf(values);
  const [{ exportTrail, resumable }, { openLines }] = [
    await import("./commands/audit-export.js"),
    await import("./commands/lines.js"),
  ];
  const open = async () => {
    const lines = out === undefined ? await standardOutput() : await openLines(out, after !== undefined);
    return resumable(lines, out, after);
  };
  if (!(await exportTrail(store, options, { open, report, now: Date.now }))) failed();
}

async function auditFingerprint(args: readonly string[]): Promise<void> {
  const config = readArchiveConfigOf(readOptions(args));
  const { fingerprintOf } = await import("./commands/audit-fingerprint.js");
  const { findAuditKey } = await import("./keys.js");
  print(await fingerprintOf(findAuditKey(config), process.stdin));
}

function readConfigOf({ config }: CommonOptions): Config {
  const read = known(loadConfig(config, process.env, "production"));
  useProxy(read.proxy, process.env);
  return read;
}

function readArchiveConfigOf({ config }: CommonOptions): ArchiveConfig {
  return known(loadArchiveConfig(config, process.env));
}

/** For a command that says nothing but its result: what goes wrong is told without these secrets. */
function known<Read>(config: Read): Read {
  redact = createRedact(secretsIn(config));
  return config;
}

/** RFC 3339 §5.6 */
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/i;

function instant(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = INSTANT.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(value)) throw new UsageError(`--${option} is an instant such as 2026-01-31T00:00:00Z`);
  return value;
}

function report(line: string): void {
  process.stderr.write(`${printableLine(line)}\n`);
}

/** SIGTERM and SIGINT end what is under way in peace, a start that is not finished too; a second one ends at once. */
async function run(start: () => Promise<Running>): Promise<void> {
  let closing = false;
  const close = async () => {
    if (closing) process.exit(1);
    closing = true;
    setTimeout(() => process.exit(1), DRAIN_MS).unref();
    await (await starting).close();
    await drained(process.stdout, OUTPUT_MS);
    process.exit(0);
  };
  process.on("SIGTERM", close);
  process.on("SIGINT", close);
  const starting = start();
  await starting;
}

function print(text: string): void {
  process.stdout.write(`${text.trimEnd()}\n`);
}

function complain(error: unknown): void {
  process.stderr.write(printable(complaintOf(error)));
}

function complaintOf(error: unknown): string {
  if (error instanceof UsageError) return `acs-token-gateway: ${error.message}; --help lists commands and options\n`;
  if (error instanceof ConfigError || error instanceof StartError) return `${error.message}\n`;
  if (error instanceof GatewayError) return `${oneLine(error)} See to that, and try again.\n`;
  return `acs-token-gateway: ${error instanceof Error ? error.stack : String(error)}\n`;
}

function oneLine(error: GatewayError): string {
  return error.cause === undefined ? error.message : `${error.message} (${reasonOf(error)})`;
}

/** Node's own SQLite, among others, came with it. */
const NODE_MAJOR = 24;

async function start(): Promise<void> {
  const { node } = process.versions;
  if (Number.parseInt(node, 10) < NODE_MAJOR) {
    throw new StartError(
      `This needs Node ${NODE_MAJOR} or later and was started with ${node}: start it by npm (npm start, npm run dev, npm run cli), which brings its own.`,
    );
  }
  await main(process.argv.slice(2));
}

guardStream(process.stderr, () => redact);

// Node's own report would print every field of the error, which may hold the request that it was made of.
process.on("uncaughtException", (error) => {
  complain(error);
  process.exit(1);
});

start().catch((error: unknown) => {
  complain(error);
  process.exit(2);
});
