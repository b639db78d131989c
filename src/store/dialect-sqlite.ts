import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type RootOperationNode,
  SqliteDialect,
  type SqliteDialectConfig,
  SqliteDriver,
} from "kysely";
import { GatewayError, StartError } from "../errors.js";

/** How long another process may hold the database before statements give up. */
const BUSY_LIMIT_MS = 1000;
const BUSY_PAUSE_MS = 10;

const MAX_PREPARED_STATEMENTS = 200;

/** `trail`: commits are not on disk before somebody syncs the log. */
type Purpose = "writing" | "trail" | "reading";

const PRAGMAS: Readonly<Record<Purpose, string>> = {
  writing: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
  trail: "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
  reading: "PRAGMA query_only = ON;",
};

/** Node's own SQLite behind Kysely. An answered write is on disk: WAL with a sync at every commit. */
export function openSqlite(file: string, purpose: Purpose = "writing"): Dialect {
  const database = open(file, purpose);
  const prepared = new Map<string, SqliteStatement>();
  const prepare = (sql: string): SqliteStatement => {
    let statement = prepared.get(sql);
    if (statement === undefined) {
      statement = new SqliteStatement(database.prepare(sql));
      if (prepared.size >= MAX_PREPARED_STATEMENTS) prepared.clear();
      prepared.set(sql, statement);
    }
    return statement;
  };
  return new PatientDialect({
    database: { prepare: (sql) => orUnavailable(() => prepare(sql)), close: () => database.close() },
  });
}

/** Reads single rows over a connection of its own, which sees what is committed and nothing that is under way. */
export class SqliteRows {
  readonly #database: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  /** A file that is there. */
  constructor(file: string) {
    this.#database = open(file, "reading");
  }

  /** The first row of a statement that never changes its text. */
  read(statement: string, parameters: readonly string[]): object | undefined {
    return orUnavailable(() => {
      const prepared = this.#prepared.get(statement) ?? this.#database.prepare(statement);
      this.#prepared.set(statement, prepared);
      return prepared.get(...parameters);
    });
  }

  close(): void {
    this.#database.close();
  }
}

function open(file: string, purpose: Purpose): DatabaseSync {
  try {
    mkdirSync(dirname(file), { recursive: true });
    const database = new DatabaseSync(file, { timeout: BUSY_LIMIT_MS });
    database.exec(PRAGMAS[purpose]);
    // From here on it is waited for without blocking the process.
    database.exec("PRAGMA busy_timeout = 0");
    return database;
  } catch (error) {
    const why = error instanceof Error ? error.message : "unknown error";
    throw new StartError(
      `The database ${file} cannot be opened (${why}): check that the folder can be written to and that the file is a SQLite database, or name another with DATABASE_URL=sqlite:FILE.`,
      { cause: error },
    );
  }
}

class PatientDialect extends SqliteDialect {
  constructor(private readonly config: SqliteDialectConfig) {
    super(config);
  }

  override createDriver(): SqliteDriver {
    return new PatientDriver(this.config);
  }
}

class PatientDriver extends SqliteDriver {
  #connection: DatabaseConnection | undefined;

  override async acquireConnection(): Promise<DatabaseConnection> {
    this.#connection ??= new PatientConnection(await super.acquireConnection());
    return this.#connection;
  }
}

const WRITES: ReadonlySet<RootOperationNode["kind"]> = new Set([
  "InsertQueryNode",
  "UpdateQueryNode",
  "DeleteQueryNode",
]);

/**
 * Waits while another process writes, and lets this one go on with other things; SQLite's own wait would freeze it. The limit
 * is for all statements together, as they come one after the other: once it is over each fails at once, until one can write.
 */
class PatientConnection implements DatabaseConnection {
  #busySince: number | undefined;

  constructor(private readonly connection: DatabaseConnection) {}

  async executeQuery<Row>(query: CompiledQuery) {
    for (let hasWaited = false; ; hasWaited = true) {
      try {
        const result = await this.connection.executeQuery<Row>(query);
        if (hasWaited || WRITES.has(query.query.kind)) this.#busySince = undefined;
        return result;
      } catch (error) {
        if (!isBusy(error)) throw error;
        this.#busySince ??= performance.now();
        if (performance.now() - this.#busySince > BUSY_LIMIT_MS) throw error;
      }
      await setTimeout(BUSY_PAUSE_MS);
    }
  }

  streamQuery<Row>(query: CompiledQuery, chunkSize: number) {
    return this.connection.streamQuery<Row>(query, chunkSize);
  }
}

/** The part of better-sqlite3's statement that Kysely calls. */
class SqliteStatement {
  readonly reader: boolean;

  constructor(private readonly statement: StatementSync) {
    this.reader = statement.columns().length > 0;
  }

  all(parameters: readonly unknown[]): unknown[] {
    return orUnavailable(() => this.statement.all(...(parameters as SQLInputValue[])));
  }

  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint } {
    return orUnavailable(() => this.statement.run(...(parameters as SQLInputValue[])));
  }

  iterate(parameters: readonly unknown[]): IterableIterator<unknown> {
    return this.statement.iterate(...(parameters as SQLInputValue[]));
  }
}

const BUSY = 5;
/** What the transaction has read is no longer so: no wait mends that. */
const BUSY_SNAPSHOT = 517;

function isBusy(error: unknown): boolean {
  const { errcode } = (error instanceof GatewayError ? error.cause : {}) as { errcode?: number };
  return errcode !== undefined && (errcode & 0xff) === BUSY && errcode !== BUSY_SNAPSHOT;
}

/** SQLite's result codes for a database that cannot do its work now: busy, locked, no memory, I/O, corrupt, full and so on. */
const UNAVAILABLE_CODES = new Set([5, 6, 7, 8, 10, 11, 13, 14, 15, 26]);

/** A database in trouble is STORE_UNAVAILABLE; a statement that is wrong is a bug and stays what it is. */
function orUnavailable<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    const { errcode } = error as { errcode?: number };
    // The low byte is the primary code; the rest tells variants of it apart.
    if (errcode === undefined || !UNAVAILABLE_CODES.has(errcode & 0xff)) throw error;
    throw new GatewayError("STORE_UNAVAILABLE", "The gateway's database does not answer.", { cause: error });
  }
}
