import { type Kysely, sql } from "kysely";
import type { ApplicationUser, Identity, IdentityStatus } from "../identities/identity.js";
import type { Mapping } from "../identities/mapping.js";
import type { Count } from "./count.js";
import { toIdentity } from "./identity-store.js";
import type { Tables } from "./tables.js";
import { inTransaction } from "./transaction.js";
import { WorkStore } from "./work-store.js";

/** A mapping that is brought in, with the id of the row that it becomes. */
export interface NewMapping extends Mapping {
  readonly identityId: string;
}

interface Asked {
  readonly users: readonly ApplicationUser[];
  readonly communicationUserIds: readonly string[];
  readonly userHashes: readonly string[];
}

/** What the database has of those that are asked for. */
export interface Standing {
  readonly identities: readonly Identity[];
  /** Identities of the service that are being deleted there. */
  readonly deleting: ReadonlySet<string>;
  /** Keyed hashes of users who were deleted. */
  readonly erased: ReadonlySet<string>;
}

const MAPPED: readonly IdentityStatus[] = ["ACTIVE", "SUSPENDED"];

/** Mappings in bulk, as they are moved from one database to another. Each method is atomic. */
export class MappingStore {
  constructor(private readonly database: Kysely<Tables>) {}

  /** Up to `limit` live mappings after this identity of the service, in the order of those ids. */
  async page(after: string, limit: number): Promise<Identity[]> {
    const rows = await this.database
      .selectFrom("identities")
      .selectAll()
      .where("communication_user_id", ">", after)
      .where("status", "in", [...MAPPED])
      .orderBy("communication_user_id")
      .limit(limit)
      .execute();
    return rows.map(toIdentity);
  }

  /** How many rows `page` leaves out, as they have no identity at the service, or it is being deleted. */
  async countLeftOut(): Promise<Readonly<Record<"PROVISIONING" | "SUSPENDED" | "DELETING", number>>> {
    const rows = await this.database
      .selectFrom("identities")
      .select(["status", ({ fn }) => fn.countAll<Count>().as("count")])
      .where(({ or, and, eb }) =>
        or([
          eb("status", "in", ["PROVISIONING", "DELETING"]),
          and([eb("status", "=", "SUSPENDED"), eb("communication_user_id", "is", null)]),
        ]),
      )
      .groupBy("status")
      .execute();
    const count = (of: IdentityStatus) => Number(rows.find(({ status }) => status === of)?.count ?? 0);
    return { PROVISIONING: count("PROVISIONING"), SUSPENDED: count("SUSPENDED"), DELETING: count("DELETING") };
  }

  /** One identity of this resource, if there is any. */
  async findAnyOf(resource: string): Promise<string | undefined> {
    const row = await this.database
      .selectFrom("identities")
      .select("communication_user_id")
      .where("resource", "=", resource)
      .where("communication_user_id", "is not", null)
      .limit(1)
      .executeTakeFirst();
    return row?.communication_user_id ?? undefined;
  }

  async findStanding({ users, communicationUserIds, userHashes }: Asked): Promise<Standing> {
    const identities = await this.database
      .selectFrom("identities")
      .selectAll()
      .where(({ or, and, eb }) =>
        or([
          eb("communication_user_id", "in", [...communicationUserIds]),
          ...users.map(({ issuer, subject }) => and([eb("issuer", "=", issuer), eb("subject", "=", subject)])),
        ]),
      )
      .execute();
    const deleting = await this.database
      .selectFrom("service_work")
      .select("communication_user_id")
      .where("communication_user_id", "in", [...communicationUserIds])
      .where("action", "=", "DELETE")
      .execute();
    const erased = await this.database
      .selectFrom("identities")
      .select("user_hash")
      .where("user_hash", "in", [...userHashes])
      .execute();
    return {
      identities: identities.map(toIdentity),
      deleting: new Set(deleting.map((row) => row.communication_user_id)),
      erased: new Set(erased.flatMap((row) => row.user_hash ?? [])),
    };
  }

  /** The ids of those rows that were added; one whose user or whose identity has a row by now is not. */
  async add(mappings: readonly NewMapping[], resource: string, now: number): Promise<ReadonlySet<string>> {
    if (mappings.length === 0) return new Set();
    return await inTransaction(this.database, async (transaction) => {
      const rows = await transaction
        .insertInto("identities")
        .values(mappings.map((mapping) => rowOf(mapping, resource, now)))
        .onConflict((conflict) => conflict.doNothing())
        .returning("id")
        .execute();
      const added = new Set(rows.map(({ id }) => id));
      await askToRevoke(
        transaction,
        mappings.filter(({ identityId }) => added.has(identityId)),
        { resource, now },
      );
      return added;
    });
  }

  /**
   * Gives a row that has no identity this one. False when it has one by now, or another row has this one. Where the user's
   * tokens were revoked before, the service has to be told: some of this identity may have been issued elsewhere.
   */
  async fill(mapping: NewMapping, resource: string, now: number): Promise<boolean> {
    return await this.#fill(mapping, resource, now).catch((error: unknown) => {
      // Another gave it to another row between the look for one and the change.
      if (isTaken(error)) return false;
      throw error;
    });
  }

  async #fill(mapping: NewMapping, resource: string, now: number): Promise<boolean> {
    const { identityId, communicationUserId, status, revocationPending } = mapping;
    return await inTransaction(this.database, async (transaction) => {
      const filled = await transaction
        .updateTable("identities")
        .set({
          communication_user_id: communicationUserId,
          resource,
          revocation_pending: revocationPending ? 1 : sql<0 | 1>`case when tokens_valid_after > 0 then 1 else 0 end`,
          status: sql<IdentityStatus>`case when status = 'PROVISIONING' then ${status} else status end`,
        })
        .where("id", "=", identityId)
        .where("status", "in", ["PROVISIONING", "SUSPENDED"])
        .where("communication_user_id", "is", null)
        .where(({ not, exists, selectFrom }) =>
          not(
            exists(
              selectFrom("identities as other")
                .select("other.id")
                .where("other.communication_user_id", "=", communicationUserId),
            ),
          ),
        )
        .returning("revocation_pending")
        .executeTakeFirst();
      if (filled === undefined) return false;
      const isPending = filled.revocation_pending === 1;
      await askToRevoke(transaction, [{ ...mapping, revocationPending: isPending }], { resource, now });
      return true;
    });
  }
}

/** Only Postgres, where two change rows at a time, says so: unique_violation. */
function isTaken(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "23505";
}

function rowOf({ identityId, user, ...mapping }: NewMapping, resource: string, now: number) {
  return {
    id: identityId,
    issuer: user.issuer,
    subject: user.subject,
    communication_user_id: mapping.communicationUserId,
    resource,
    status: mapping.status,
    created_at: mapping.createdAt ?? now,
    last_token_issued_at: mapping.lastTokenIssuedAt ?? 0,
    tokens_valid_after: mapping.tokensValidAfter ?? 0,
    revocation_pending: mapping.revocationPending ? (1 as const) : (0 as const),
    revocations: 0,
    user_hash: null,
  };
}

/** What was pending where they come from is so here. */
async function askToRevoke(
  transaction: Kysely<Tables>,
  mappings: readonly NewMapping[],
  { resource, now }: { readonly resource: string; readonly now: number },
): Promise<void> {
  const work = new WorkStore(transaction);
  for (const { revocationPending, communicationUserId, identityId } of mappings) {
    if (revocationPending) await work.request({ communicationUserId, action: "REVOKE", identityId, resource }, now);
  }
}
