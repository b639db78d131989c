/** `doctor`: tries every dependency, side by side, and says what is wrong and what to do about it. Exit code 1 when a check failed. */
import type { Config } from "../config/config.js";
import { ConfigError } from "../config/fault.js";
import { secretsIn } from "../config/secrets.js";
import { findKeys } from "../keys.js";
import { createRedact } from "../observe/redact.js";
import { examineAudit } from "./doctor/audit.js";
import { examineDocuments } from "./doctor/documents.js";
import { Examination, fail, ok, type Result } from "./doctor/examination.js";
import { examineIssuer } from "./doctor/issuer.js";
import { examinePublicUrl } from "./doctor/public-url.js";
import { examineRedis } from "./doctor/redis.js";
import { type Report, resultOf, writeJson, writeText } from "./doctor/report.js";
import { examineService } from "./doctor/service.js";
import type { LifeOptions } from "./doctor/service-life.js";
import { examineStore } from "./doctor/store.js";
import type { Command, Host } from "./host.js";
import { openStandardOutput } from "./lines.js";
import { readArguments } from "./usage.js";

const OPTIONS = {
  config: { type: "string" },
  write: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

export const run: Command = async (args, host) => {
  const { values } = readArguments(args, OPTIONS);
  const startedAt = host.now();
  const say = async (results: readonly Result[], redact = (text: string) => text) => {
    const report: Report = { startedAt, results };
    const lines = openStandardOutput(host.stdout);
    for (const line of values.json ? [writeJson(report)] : writeText(report)) await lines.print(redact(line));
    await lines.close();
    return resultOf(report) !== "fail";
  };
  let config: Config;
  try {
    config = host.readConfig(values.config);
  } catch (error) {
    // A program that reads the document is told in it, too.
    if (error instanceof ConfigError && values.json) await say(faultsOf(error));
    throw error;
  }
  const life = values.write ? lifeOptions(host) : undefined;
  const results = await examine(config, life, host.now);
  const isWell = await say(results, createRedact(secretsIn(config)));
  // What was skipped then is not known to be well.
  return isWell && life?.stopped.aborted !== true;
};

function lifeOptions(host: Host): LifeOptions {
  const onMade = (id: string) => host.report(`made the identity ${id}, which is deleted again in a moment`);
  return { stopped: host.stopSignal(), onMade };
}

async function examine(config: Config, life: LifeOptions | undefined, now: () => number): Promise<readonly Result[]> {
  const examinations = [
    examineConfiguration(config),
    examinePublicUrl(config),
    ...config.issuers.map((issuer) => examineIssuer(issuer, now)),
    examineStore(config, now),
    examineRedis(config, now),
    examineService(config, life),
    examineAudit(config, life !== undefined),
    examineDocuments(config),
  ];
  return (await Promise.all(examinations)).flat();
}

async function examineConfiguration(config: Config): Promise<readonly Result[]> {
  const examination = new Examination();
  const cure = "see what the message says";
  await examination.check({ id: "configuration", cure }, async () => ok("is sound"));
  await examination.check({ id: "keys", cure }, async () => KEYS[findKeys(config)]);
  return examination.results;
}

const KEYS = {
  configured: ok("are configured"),
  kept: ok("are kept beside the database: back them up with it"),
  "yet to be made": ok("are made beside the database at the first start"),
} as const;

function faultsOf({ file, faults }: ConfigError): Result[] {
  return faults.map(({ path, line, message }) => ({
    ...fail(
      `${path === "" ? "the file" : path} ${message}`,
      "correct it, or the variable of the environment that feeds it",
    ),
    id: "configuration",
    about: line === undefined ? file : `${file}:${line}`,
    milliseconds: 0,
  }));
}
