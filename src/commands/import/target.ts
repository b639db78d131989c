/** Where an import goes: the gateway's database and trail, or, of a dry run, a database that is thrown away. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resourceOf } from "../../acs/resource.js";
import type { Config } from "../../config/config.js";
import { StartError } from "../../errors.js";
import { Adoption } from "../../identities/adoption.js";
import { hashUser } from "../../identities/user-hash.js";
import { findAuditKey, findKeys } from "../../keys.js";
import { EmptyDatabase, openMappingArchive } from "../../store/audit-archive.js";
import { findFile } from "../../store/inspection.js";
import type { MappingStore } from "../../store/mapping-store.js";
import { openStore } from "../../store/store.js";
import type { Host } from "../host.js";
import { commandRun, withRecords } from "../records.js";

export interface Target {
  readonly adoption: Adoption;
  /** The host of the resource that the identities are of. */
  readonly resource: string;
  /** An identity of it that the database has. */
  readonly known: string | undefined;
}

interface Terms {
  readonly isDry: boolean;
  readonly allowErased: boolean;
  readonly reason: string | null;
}

type Work<Result> = (target: Target) => Promise<Result>;

export async function withTarget<Result>(
  config: Config,
  host: Host,
  terms: Terms,
  work: Work<Result>,
): Promise<Result> {
  return await (terms.isDry ? withScratch(config, host, terms, work) : withDatabase(config, host, terms, work));
}

async function withDatabase<Result>(
  config: Config,
  host: Host,
  { allowErased, reason }: Terms,
  work: Work<Result>,
): Promise<Result> {
  return await withRecords(config, host, async ({ store, audit, hashUser, now }) => {
    const resource = resourceOf(config.acs);
    const { mappings } = store;
    const asked = commandRun("import");
    host.report(`what is added stands in the audit trail under the request id ${asked.requestId}`);
    const adoption = new Adoption({
      mappings,
      audit: audit.ofCommand(asked),
      reason,
      resource,
      now,
      hashUser,
      allowErased,
    });
    return await work({ adoption, resource, known: await mappings.findAnyOf(resource) });
  });
}

/** What would be added goes where the next rows are compared with it; the gateway's database is read. */
async function withScratch<Result>(
  config: Config,
  { now }: Host,
  { allowErased }: Terms,
  work: Work<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "acs-token-gateway-dry-run-")).catch((cause: unknown) => {
    const message = "A dry run needs a temporary folder that it may write to: name one with TMPDIR.";
    throw new StartError(message, { cause });
  });
  try {
    const archive = await openArchive(config);
    const scratch = await openStore({ kind: "sqlite", file: join(folder, "dry-run.db") });
    try {
      const resource = resourceOf(config.acs);
      const adoption = new Adoption({
        mappings: scratch.mappings,
        standing: archive?.mappings ?? NOTHING,
        audit: undefined,
        reason: null,
        resource,
        now,
        hashUser: openHash(config),
        allowErased,
      });
      return await work({ adoption, resource, known: await archive?.mappings.findAnyOf(resource) });
    } finally {
      await scratch.close();
      await archive?.close();
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A database that is yet to be made, or has no tables yet, has nothing. */
async function openArchive({ store }: Config) {
  if (store.kind === "sqlite" && !(await findFile(store.file))) return undefined;
  return await openMappingArchive(store).catch((error: unknown) => {
    if (error instanceof EmptyDatabase) return undefined;
    throw error;
  });
}

/** Where there are no keys yet, nobody was deleted yet. */
function openHash(config: Config): ConstructorParameters<typeof Adoption>[0]["hashUser"] {
  if (findKeys(config) === "yet to be made") return () => "";
  const key = findAuditKey(config);
  return (user) => hashUser(user, key);
}

const NOTHING: Pick<MappingStore, "findStanding"> = {
  findStanding: async () => ({ identities: [], deleting: new Set(), erased: new Set() }),
};
