/**
 * Fills a store with identities. Most are only there: they have users and ids as of the service, but nobody comes for them. Those
 * who come are made known to the service as it runs now, so it is done for each run.
 */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { CommunicationIdentityClient } from "@azure/communication-identity";
import { type Kysely, sql } from "kysely";
import type { StoreConfig } from "../../src/config/config.js";
import { migrate } from "../../src/store/migrations.js";
import type { IdentityRow, Tables } from "../../src/store/tables.js";
import { openToFill } from "../filling.js";
import type { Outside } from "../outside.js";
import { Progress } from "../progress.js";

/** SQLite takes 32,766 parameters in a statement, of which a row has 12. */
const BATCH = 2500;
const BATCHES = 20;
const CREATES_AT_ONCE = 16;

interface FillOptions {
  readonly config: StoreConfig;
  readonly total: number;
  /** Which of them come. */
  readonly callers: readonly number[];
  readonly outside: Outside;
  readonly say: (line: string) => void;
}

export async function fillIdentities({ config, total, callers, outside, say }: FillOptions): Promise<void> {
  const database = await openToFill(config);
  try {
    await migrate(database);
    await sql.raw(ROOM[config.kind]).execute(database);
    await addRows(database, { total, issuer: outside.issuer, say });
    await makeKnown(database, callers, outside);
    await sql.raw(FINISH[config.kind]).execute(database);
  } finally {
    await database.destroy();
  }
}

const FINISH = { sqlite: "pragma wal_checkpoint(truncate)", postgres: "vacuum (analyze) identities" } as const;

/** As there is in pages whose rows have been changed and vacuumed: a changed row stays where it was, far from the others that come. */
const ROOM = { sqlite: "select 1", postgres: "alter table identities set (fillfactor = 90)" } as const;

interface Rows {
  readonly total: number;
  readonly issuer: string;
  readonly say: (line: string) => void;
}

/** What is there already is gone on from. */
async function addRows(database: Kysely<Tables>, { total, issuer, say }: Rows): Promise<void> {
  const { count } = await database
    .selectFrom("identities")
    .select(({ fn }) => fn.countAll<number | string>().as("count"))
    .executeTakeFirstOrThrow();
  let done = Number(count);
  const progress = new Progress({ what: "identities", total, say }, done);
  while (done < total) {
    await database.transaction().execute(async (transaction) => {
      for (let batch = 0; batch < BATCHES && done < total; batch++) {
        const rows = Array.from({ length: Math.min(BATCH, total - done) }, (_, row) => rowOf(done + row, issuer));
        await transaction.insertInto("identities").values(rows).execute();
        await setImmediate();
        done += rows.length;
      }
    });
    progress.at(done);
  }
}

async function makeKnown(database: Kysely<Tables>, callers: readonly number[], outside: Outside): Promise<void> {
  const { connectionString } = outside;
  const service = new CommunicationIdentityClient(connectionString, { allowInsecureConnection: true });
  const resource = new URL(/endpoint=([^;]+)/.exec(connectionString)?.[1] ?? "").host;
  for (let from = 0; from < callers.length; from += CREATES_AT_ONCE) {
    const some = callers.slice(from, from + CREATES_AT_ONCE);
    const made = await Promise.all(some.map((index) => service.createUser().then((user) => ({ index, ...user }))));
    for (const { index, communicationUserId } of made) {
      await database
        .updateTable("identities")
        .set({ communication_user_id: communicationUserId, resource, status: "ACTIVE", revocation_pending: 0 })
        .where("id", "=", idOf(index))
        .execute();
    }
  }
}

export function subjectOf(index: number): string {
  return `user-${digest(`subject ${index}`).toString("hex").slice(0, 12)}`;
}

/** In no order, as those that are made by chance. */
function idOf(index: number): string {
  return `idn_${digest(`id ${index}`).subarray(0, 16).toString("base64url")}`;
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

const MINUTE_MS = 60_000;
const FIRST_MS = Date.UTC(2025, 0, 1);

function rowOf(index: number, issuer: string): IdentityRow {
  const created = FIRST_MS + index * MINUTE_MS;
  return {
    id: idOf(index),
    issuer,
    subject: subjectOf(index),
    communication_user_id: `8:acs:nobody_${index}`,
    resource: "nobody.communication.azure.com",
    status: "ACTIVE",
    created_at: created,
    last_token_issued_at: created,
    tokens_valid_after: 0,
    revocation_pending: 0,
    revocations: 0,
    user_hash: null,
  };
}
