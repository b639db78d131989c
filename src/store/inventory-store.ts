import { type Kysely, type RawBuilder, sql } from "kysely";
import type { Identity, IdentityStatus } from "../identities/identity.js";
import type { ServiceWork } from "../identities/service-work.js";
import { type Count, countOf } from "./count.js";
import { toIdentity } from "./identity-store.js";
import type { Tables } from "./tables.js";
import { inTransaction } from "./transaction.js";
import { toWork, WorkStore } from "./work-store.js";

interface Counted {
  /** Null once erased. */
  readonly issuer: string | null;
  readonly status: IdentityStatus;
  readonly count: number;
}

/** All that the database has of the service's identities. Counts are of one resource unless they say otherwise. */
export interface Inventory {
  /** Those that are not deleted, by whose users they are of. */
  readonly identities: readonly Counted[];
  /** Some of them. */
  readonly examples: readonly string[];
  /** Identities without a user that are being deleted at the service. */
  readonly surplus: number;
  /** Identities that the service did not know when it was last asked for a token. */
  readonly lost: number;
  /** Identities that are there and of another resource, by its host. */
  readonly elsewhere: readonly { readonly resource: string; readonly count: number }[];
  /** Attempts to make one of which nobody knows the outcome, of any resource. */
  readonly inDoubt: number;
  /** When a process last wrote to the audit trail, ms since 1970; undefined: never. */
  readonly lastRecordAt: number | undefined;
}

interface LostIdentity {
  readonly attemptId: string;
  readonly communicationUserId: string;
}

const LIVE: readonly IdentityStatus[] = ["PROVISIONING", "ACTIVE", "SUSPENDED"];
const EXAMPLES = 3;

/** What there is of one resource, for who deletes all of it. One of which the resource was not written down counts as its own. */
export class InventoryStore {
  constructor(private readonly database: Kysely<Tables>) {}

  async takeStock(resource: string, now: number): Promise<Inventory> {
    const identities = await this.database
      .selectFrom("identities")
      .select(["issuer", "status", ({ fn }) => fn.countAll<Count>().as("count")])
      .where("status", "<>", "DELETED")
      .where(isOf(resource))
      .groupBy(["issuer", "status"])
      .orderBy("issuer")
      .orderBy("status")
      .execute();
    const examples = await this.#live("", resource)
      .where("communication_user_id", "is not", null)
      .limit(EXAMPLES)
      .execute();
    return {
      identities: identities.map((row) => ({ ...row, count: Number(row.count) })),
      examples: examples.flatMap((row) => row.communication_user_id ?? []),
      surplus: await this.#countSurplus(resource),
      lost: await this.#countAttempts(isLostOf(resource)),
      elsewhere: await this.#elsewhere(resource),
      inDoubt: await this.#countAttempts(sql`state = 'IN_DOUBT' or state = 'RUNNING' and lease_until <= ${now}`),
      lastRecordAt: await this.#lastRecordAt(),
    };
  }

  /** Identities that are there, those that are being deleted and those that rows have lost, too. */
  async countLeft(resource: string): Promise<number> {
    const rows = this.database.selectFrom("identities").where("status", "in", [...LIVE, "DELETING"]);
    const there = await countOf(rows.where(isOf(resource)));
    const lost = await this.#countAttempts(isLostOf(resource));
    return there + lost + (await this.#countSurplus(resource));
  }

  /** Up to `limit` rows that are not being deleted, after this id, in the order of ids. */
  async live(after: string, resource: string, limit: number): Promise<Identity[]> {
    return (await this.#live(after, resource).limit(limit).execute()).map(toIdentity);
  }

  async lost(resource: string, limit: number): Promise<LostIdentity[]> {
    return await this.database
      .selectFrom("provisioning_attempts")
      .select(["id as attemptId", "communication_user_id as communicationUserId"])
      .where("state", "=", "LOST")
      .where(isOf(resource))
      .where("communication_user_id", "is not", null)
      .orderBy("started_at")
      .limit(limit)
      .$narrowType<LostIdentity>()
      .execute();
  }

  /** Asks for the deletion of an identity that was lost, as of any that nobody has. */
  async deleteLost({ attemptId, communicationUserId }: LostIdentity, resource: string, now: number): Promise<void> {
    await inTransaction(this.database, async (transaction) => {
      await transaction
        .updateTable("provisioning_attempts")
        .set({ state: "SURPLUS" })
        .where("id", "=", attemptId)
        .where("state", "=", "LOST")
        .execute();
      const work = { communicationUserId, action: "DELETE", identityId: null, resource } as const;
      await new WorkStore(transaction).request(work, now);
    });
  }

  /** Deletions that the service has yet to carry out, oldest first. */
  async deletions(resource: string, limit: number): Promise<ServiceWork[]> {
    const rows = await this.database
      .selectFrom("service_work")
      .selectAll()
      .where("action", "=", "DELETE")
      .where(isOf(resource))
      .orderBy("created_at")
      .orderBy("communication_user_id")
      .limit(limit)
      .execute();
    return rows.map(toWork);
  }

  #live(after: string, resource: string) {
    return this.database
      .selectFrom("identities")
      .selectAll()
      .where("id", ">", after)
      .where("status", "in", [...LIVE])
      .where(isOf(resource))
      .orderBy("id");
  }

  async #countSurplus(resource: string): Promise<number> {
    const deletions = this.database.selectFrom("service_work").where("action", "=", "DELETE");
    return await countOf(deletions.where("identity_id", "is", null).where(isOf(resource)));
  }

  async #countAttempts(condition: RawBuilder<unknown>): Promise<number> {
    return await countOf(this.database.selectFrom("provisioning_attempts").where(sql<boolean>`(${condition})`));
  }

  async #elsewhere(resource: string): Promise<Inventory["elsewhere"]> {
    const rows = await this.database
      .selectFrom("identities")
      .select(["resource", ({ fn }) => fn.countAll<Count>().as("count")])
      .where("status", "<>", "DELETED")
      .where("resource", "<>", resource)
      .groupBy("resource")
      .orderBy("resource")
      .execute();
    return rows.map((row) => ({ resource: row.resource ?? "", count: Number(row.count) }));
  }

  async #lastRecordAt(): Promise<number | undefined> {
    const { at } = await this.database
      .selectFrom("audit_writers")
      .select(({ fn }) => fn.max("written_at").as("at"))
      .executeTakeFirstOrThrow();
    return at === null ? undefined : Number(at);
  }
}

function isLostOf(resource: string): RawBuilder<boolean> {
  return sql<boolean>`state = 'LOST' and ${isOf(resource)} and communication_user_id is not null`;
}

function isOf(resource: string): RawBuilder<boolean> {
  return sql<boolean>`(resource is null or resource = ${resource})`;
}
