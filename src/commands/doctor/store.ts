import type { Config, StoreConfig } from "../../config/config.js";
import { otherKeys } from "../../key-checks.js";
import { findKeys, openKeys } from "../../keys.js";
import { findFile, inspectStore, type StoreInspection } from "../../store/inspection.js";
import type { SchemaState } from "../../store/migrations.js";
import { Examination, type Finding, fail, ok, type Result, warn } from "./examination.js";
import { judgeSpace } from "./space.js";

/** Instances agree within 5 s, or work is done twice. */
const CLOCK_MS = 2000;

const CONNECTION_CURE =
  "see that the database is there and lets this user in, or name another with DATABASE_URL; the gateway does not start without it";

/** Whether the gateway can keep its identities and its audit trail. */
export async function examineStore(config: Config, now: () => number): Promise<readonly Result[]> {
  const examination = new Examination();
  const { store } = config;
  const isThere = store.kind === "postgres" || (await examineFile(examination, store.file));
  if (isThere) await examineDatabase(examination, config, now);
  return examination.results;
}

/** Whether there is a database to look into. */
async function examineFile(examination: Examination, file: string): Promise<boolean> {
  await examination.check({ id: "store.space", cure: "see whether the folder can be read" }, () =>
    judgeSpace(file, "the database", "make room: on a full disk no token is handed out"),
  );
  let isThere = false;
  const cure = "name a place that can be written to with DATABASE_URL=sqlite:FILE, or make its folder";
  await examination.check({ id: "store.file", about: file, cure }, async () => {
    isThere = await findFile(file);
    return ok(isThere ? "is there" : "is not there yet: the first start makes it");
  });
  return isThere;
}

async function examineDatabase(examination: Examination, config: Config, now: () => number): Promise<void> {
  const inspection = await openInspection(examination, config.store);
  if (inspection === undefined) return;
  try {
    await examineOpened(examination, inspection, config, now);
  } finally {
    await inspection.close();
  }
}

const OTHERS = [
  "store.encoding",
  "store.schema",
  "store.writable",
  "store.keys",
  "store.migrations",
  "store.clock",
] as const;

/** Undefined when it does not answer, which is said then. */
async function openInspection(examination: Examination, config: StoreConfig): Promise<StoreInspection | undefined> {
  let opened: StoreInspection | undefined;
  const answers = await examination.check({ id: "store.connection", cure: CONNECTION_CURE }, async () => {
    opened = await inspectStore(config);
    const { version, tooOld } = await opened.describe();
    if (tooOld !== undefined) return fail(`${opened.name} is ${version}; ${tooOld}`, "update the server");
    return ok(`${opened.name} answers, ${version}`);
  });
  if (answers) return opened;
  for (const id of OTHERS) examination.skip(id, undefined, "the database does not answer");
  await opened?.close();
  return undefined;
}

async function examineOpened(
  examination: Examination,
  inspection: StoreInspection,
  config: Config,
  now: () => number,
): Promise<void> {
  await examination.check({ id: "store.encoding", cure: CONNECTION_CURE }, async () => {
    const { encoding, keepsEveryText } = await inspection.describe();
    if (keepsEveryText) return ok(encoding);
    return fail(`${encoding}, which cannot hold every user's name`, "create the database with encoding UTF8");
  });
  let schema: SchemaState | undefined;
  await examination.check({ id: "store.schema", cure: CONNECTION_CURE }, async () => {
    schema = await inspection.schema();
    return SCHEMA[schema];
  });
  await examineTables(examination, inspection, config, schema);
  const cure = "set the clocks of this machine and of the database's (NTP)";
  await examination.check({ id: "store.clock", cure }, () => compareClocks(inspection, now, cure));
}

const SCHEMA: Readonly<Record<SchemaState, Finding>> = {
  none: ok("there is none yet: the first start makes it"),
  current: ok("is this version's"),
  older: warn(
    "is older than this version of the gateway",
    "back the database up, and start this version, which brings it up to date",
  ),
  newer: warn(
    "is newer than this version of the gateway, which works on it all the same",
    "go on with the later version when it can be; going back further than this version is not tested",
  ),
  "too new": fail("is of a later version of the gateway, and this one cannot use it", "run the later version"),
};

async function examineTables(
  examination: Examination,
  inspection: StoreInspection,
  config: Config,
  schema: SchemaState | undefined,
): Promise<void> {
  if (schema === "current" || schema === "newer") {
    const cure = "let this user, or this process, write to the database: insert, update and delete in each table";
    await examination.check({ id: "store.writable", cure }, async () => {
      await inspection.tryToWrite();
      return ok("may write to each table");
    });
    await examination.check({ id: "store.keys", cure: KEYS_CURE }, () => judgeKeys(inspection, config));
  } else {
    for (const id of ["store.writable", "store.keys"] as const)
      examination.skip(id, undefined, "its tables are not those of this version");
  }
  const cure = "let this user create tables in the database's first schema: a new version may have to, when it starts";
  await examination.check({ id: "store.migrations", cure }, async () => {
    await inspection.tryToMakeTable();
    return ok("may change the schema");
  });
}

const KEYS_CURE = "give all instances the same keys, unless these were just changed";

async function judgeKeys(inspection: StoreInspection, config: Config): Promise<Finding> {
  const known = await inspection.keyChecks();
  if (known.size === 0) return ok("has not been used with any key yet");
  // To open them would make them.
  if (findKeys(config) === "yet to be made")
    return warn(
      "the keys that it was used with last are gone: the next start makes others",
      "restore keys.json from a back-up",
    );
  const others = otherKeys(known, openKeys(config));
  if (others.length === 0) return ok("the keys are those that it was used with last");
  return warn(`it was used last with another ${others.join(" and another ")}`, KEYS_CURE);
}

async function compareClocks(inspection: StoreInspection, now: () => number, cure: string): Promise<Finding> {
  const before = now();
  const theirs = await inspection.clock();
  if (theirs === undefined) return ok("is this machine's");
  const difference = Math.max(before - theirs, theirs - now());
  if (difference <= CLOCK_MS) return ok(`agree within ${CLOCK_MS / 1000} s`);
  const seconds = Math.round(difference / 1000);
  return warn(`this machine's and the database's differ by ${seconds} s; those of all instances must agree`, cure);
}
