import { randomUUID } from "node:crypto";
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";

/** Times are ms since 1970. A deleted identity stays as a tombstone, so that its tokens can be told from unknown ones. */
export interface Identity {
  /** `8:acs:<resource id>_<user id>` */
  readonly id: string;
  readonly createdAt: number;
  /** How often its tokens were revoked: a token names the count it was issued under. */
  readonly revocations: number;
  readonly revokedAt: number | undefined;
  readonly deletedAt: number | undefined;
}

/** The identities of the resource. Each change is one committed statement, so it is whole and it outlives the process. */
export class Identities {
  readonly #resourceId: string;
  readonly #insert: StatementSync;
  readonly #select: StatementSync;
  readonly #revoke: StatementSync;
  readonly #delete: StatementSync;
  readonly #page: StatementSync;
  readonly #count: StatementSync;

  constructor(database: DatabaseSync, resourceId: string) {
    this.#resourceId = resourceId;
    this.#insert = database.prepare("INSERT INTO identities (id, created_at) VALUES (?, ?)");
    this.#select = database.prepare("SELECT * FROM identities WHERE id = ?");
    this.#revoke = database.prepare(
      "UPDATE identities SET revocations = revocations + 1, revoked_at = ? WHERE id = ? AND deleted_at IS NULL",
    );
    this.#delete = database.prepare("UPDATE identities SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL");
    this.#page = database.prepare(
      "SELECT * FROM identities WHERE position > coalesce((SELECT position FROM identities WHERE id = ?), 0) " +
        "ORDER BY position LIMIT ?",
    );
    this.#count = database.prepare(
      "SELECT count(*) AS total, count(*) FILTER (WHERE deleted_at IS NULL) AS live FROM identities",
    );
  }

  create(at: number): Identity {
    const id = `8:acs:${this.#resourceId}_${randomUUID()}`;
    this.#insert.run(id, at);
    return { id, createdAt: at, revocations: 0, revokedAt: undefined, deletedAt: undefined };
  }

  /** Deleted ones too. */
  find(id: string): Identity | undefined {
    const row = this.#select.get(id);
    return row === undefined ? undefined : toIdentity(row);
  }

  /** False if there is no such identity, or no longer. */
  revokeTokens(id: string, at: number): boolean {
    return this.#revoke.run(at, id).changes === 1;
  }

  /** False if there is no such identity, or no longer. */
  delete(id: string, at: number): boolean {
    return this.#delete.run(at, id).changes === 1;
  }

  /** In order of creation, from the one after `after`, or from the first. */
  page(after: string | undefined, limit: number): Identity[] {
    return this.#page.all(after ?? null, limit).map(toIdentity);
  }

  count(): { total: number; live: number } {
    const row = this.#count.get();
    return { total: Number(row?.total), live: Number(row?.live) };
  }
}

function toIdentity(row: Record<string, SQLOutputValue>): Identity {
  return {
    id: String(row.id),
    createdAt: Number(row.created_at),
    revocations: Number(row.revocations),
    revokedAt: optionalTime(row.revoked_at),
    deletedAt: optionalTime(row.deleted_at),
  };
}

function optionalTime(value: SQLOutputValue | undefined): number | undefined {
  return value === null || value === undefined ? undefined : Number(value);
}
