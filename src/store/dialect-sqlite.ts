import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type RootOperationNode,
  SqliteAdapter,
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

/** What is erased is overwritten, in pages that become free as well: `fast` leaves those, and indexes of names are full of them. */
const ERASE = "PRAGMA secure_delete = ON;";

const PRAGMAS: Readonly<Record<Purpose, string>> = {
  writing: `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; ${ERASE}`,
  trail: `PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; ${ERASE}`,
  reading: "PRAGMA query_only = ON;",
};

/** Node's own SQLite behind Kysely. An answered write is on disk: WAL with a sync at every commit. */
export function openSqlite(file: string, purpose: Purpose = "writing"): Dialect {
  const database = open(file, purpose);
  return new PatientDialect({ database: { prepare: preparing(database), close: () => database.close() } });
}

/** The statement of a text, prepared once. */
function preparing(database: DatabaseSync): (sql: string) => SqliteStatement {
  const prepared = new Map<string, SqliteStatement>();
  return (sql) => {
    const known = prepared.get(sql);
    if (known !== undefined) return known;
    const statement = orUnavailable(() => new SqliteStatement(database.prepare(sql)));
    if (prepared.size >= MAX_PREPARED_STATEMENTS) prepared.clear();
    prepared.set(sql, statement);
    return statement;
  };
}

/** Names its columns, and never changes its text. */
export interface RowStatement {
  readonly text: string;
  readonly parameters: readonly string[];
}

/** Reads single rows over a connection of its own, which sees what is committed and nothing that is under way. */
export class SqliteRows {
  readonly #database: DatabaseSync;
  readonly #prepare: (sql: string) => SqliteStatement;

  /** A file that is there. */
  constructor(file: string) {
    this.#database = open(file, "reading");
    this.#prepare = preparing(this.#database);
  }

  /** The first row of each, several as they are at one moment: what SQLite takes for a row is mostly to begin with it. */
  read(statements: readonly RowStatement[]): (object | undefined)[] {
    const first = ({ text, parameters }: RowStatement) => this.#prepare(text).get(parameters);
    if (statements.length === 1 && !this.#database.isTransaction) return statements.map(first);
    this.#prepare("begin").run([]);
    try {
      return statements.map(first);
    } finally {
      // A transaction in which disk or memory fail SQLite has ended itself.
      if (this.#database.isTransaction) this.#prepare("rollback").run([]);
    }
  }

  close(): void {
    this.#database.close();
  }
}

function open(file: string, purpose: Purpose): DatabaseSync {
  try {
    mkdirSync(dirname(file), { recursive: true });
    if (purpose !== "reading") makePrivate(file);
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

/**
 * A new one is for its owner alone: it has all users in it. SQLite makes its log as it finds the file. One that is there is not touched:
 * to close it would let go of the locks that other connections of the process hold on it (POSIX), and a stranger then takes away
 * their log.
 */
function makePrivate(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

class PatientDialect extends SqliteDialect {
  constructor(private readonly config: SqliteDialectConfig) {
    super(config);
  }

  override createDriver(): SqliteDriver {
    return new PatientDriver(this.config);
  }

  override createAdapter(): SqliteAdapter {
    return new AtomicAdapter();
  }
}

/** Changes of the schema are all there or none, whatever ends the process. */
class AtomicAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

class PatientDriver extends SqliteDriver {
  #connection: DatabaseConnection | undefined;

  override async acquireConnection(): Promise<DatabaseConnection> {
    this.#connection ??= new PatientConnection(await super.acquireConnection());
    return this.#connection;
  }

  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    try {
      await super.rollbackTransaction(connection);
    } catch {
      // One in which disk or memory fail SQLite has ended by itself, and what it failed with tells more.
    }
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
  /** Long after that, whoever is in the way is another one. */
  #busyAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly connection: DatabaseConnection) {}

  async executeQuery<Row>(query: CompiledQuery) {
    for (let hasWaited = false; ; hasWaited = true) {
      try {
        const result = await this.connection.executeQuery<Row>(query);
        if (hasWaited || WRITES.has(query.query.kind)) this.#busySince = undefined;
        return result;
      } catch (error) {
        if (!isBusy(error)) throw error;
        const at = performance.now();
        if (this.#busySince === undefined || at - this.#busyAt > BUSY_LIMIT_MS) this.#busySince = at;
        this.#busyAt = at;
        if (at - this.#busySince > BUSY_LIMIT_MS) throw error;
      }
      await setTimeout(BUSY_PAUSE_MS);
    }
  }

  streamQuery<Row>(query: CompiledQuery, chunkSize: number) {
    return this.connection.streamQuery<Row>(query, chunkSize);
  }
}

/**
 * The part of better-sqlite3's statement that Kysely calls, and `get`. Rows are objects of one shape: those that Node would make
 * have no prototype, and V8 makes a hidden class for each of them, so whatever reads them is slow.
 */
class SqliteStatement {
  readonly reader: boolean;
  readonly #named: readonly string[];

  constructor(private readonly statement: StatementSync) {
    this.#named = columnsOf(statement);
    this.reader = this.#named.length > 0;
    statement.setReturnArrays(true);
  }

  /** The first row of a statement that names its columns. */
  get(parameters: readonly unknown[]): object | undefined {
    const values = orUnavailable(() => this.statement.get(...(parameters as SQLInputValue[])));
    return values && rowOf(this.#named, values);
  }

  all(parameters: readonly unknown[]): object[] {
    const rows = orUnavailable(() => this.statement.all(...(parameters as SQLInputValue[])));
    if (rows.length === 0) return rows;
    // Another process may have changed the table, and with it what a star stands for.
    const columns = columnsOf(this.statement);
    return rows.map((values) => rowOf(columns, values));
  }

  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint } {
    return orUnavailable(() => this.statement.run(...(parameters as SQLInputValue[])));
  }

  *iterate(parameters: readonly unknown[]): IterableIterator<object> {
    let columns: readonly string[] | undefined;
    for (const values of this.statement.iterate(...(parameters as SQLInputValue[]))) {
      columns ??= columnsOf(this.statement);
      yield rowOf(columns, values);
    }
  }
}

/** Of the list of values that a row is by now, which its type does not know. */
function rowOf(columns: readonly string[], values: object): object {
  const list = values as readonly SQLOutputValue[];
  const row: Record<string, SQLOutputValue | undefined> = {};
  let index = 0;
  for (const column of columns) row[column] = list[index++];
  return row;
}

function columnsOf(statement: StatementSync): readonly string[] {
  return statement.columns().map(({ name }) => name);
}

const BUSY = 5;
/** What the transaction has read is no longer so: no wait mends that. */
const BUSY_SNAPSHOT = 517;

function isBusy(error: unknown): boolean {
  return isHeld(error) && codeOf(error) !== BUSY_SNAPSHOT;
}

/** Another process writes, or has written in the middle of this transaction. */
export function isHeld(error: unknown): boolean {
  return (codeOf(error) & 0xff) === BUSY;
}

/** The file is no database, or not whole. */
export function isDamaged(error: unknown): boolean {
  return DAMAGED.has(codeOf(error) & 0xff);
}

function codeOf(error: unknown): number {
  const { errcode = 0 } = (error instanceof GatewayError ? error.cause : {}) as { errcode?: number };
  return errcode;
}

const DAMAGED = new Set([11, 26]);

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
