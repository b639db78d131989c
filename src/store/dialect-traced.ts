/** A dialect whose statements are seen in traces: what each does to which table, never its values or its text. */
import type { CompiledQuery, DatabaseConnection, Dialect, Driver, TransactionSettings } from "kysely";
import type { SpanAbout, Tracing } from "../observe/tracing.js";

/** As OpenTelemetry's semantic conventions name it. */
export type DatabaseSystem = "sqlite" | "postgresql";

export function traceDialect(dialect: Dialect, system: DatabaseSystem, tracing: Tracing | undefined): Dialect {
  if (tracing === undefined) return dialect;
  const about = statementsOf(system);
  return {
    createAdapter: () => dialect.createAdapter(),
    createDriver: () => new TracedDriver(dialect.createDriver(), { about, tracing }),
    createIntrospector: (database) => dialect.createIntrospector(database),
    createQueryCompiler: () => dialect.createQueryCompiler(),
  };
}

const MOST_STATEMENTS = 500;

/** What a statement is about, remembered by its text. */
export function statementsOf(system: DatabaseSystem): (sql: string) => SpanAbout {
  const known = new Map<string, SpanAbout>();
  return (sql) => {
    const about = known.get(sql) ?? describe(sql, system);
    if (known.size >= MOST_STATEMENTS) known.clear();
    known.set(sql, about);
    return about;
  };
}

const CHANGE = /\b(insert|update|delete)\s+(?:into\s+|from\s+)?"?([a-z_]+)"?/i;

/** Statements are the store's own, and none has a table's name in a text. */
function describe(sql: string, system: DatabaseSystem): SpanAbout {
  const [, first = ""] = /^\s*(\w+)/.exec(sql) ?? [];
  // What comes before a change is there for its sake.
  const change = first.toLowerCase() === "with" ? CHANGE.exec(sql) : null;
  const operation = (first.toLowerCase() === "with" ? (change?.[1] ?? "select") : first).toUpperCase();
  const [, table] = change ? change.slice(1) : (/\b(?:from|into|update)\s+"?([a-z_]+)"?/i.exec(sql) ?? []);
  const attributes = {
    "db.system.name": system,
    "db.operation.name": operation,
    ...(table !== undefined && { "db.collection.name": table }),
  };
  return { name: table === undefined ? operation : `${operation} ${table}`, kind: "client", attributes };
}

interface Parts {
  readonly about: (sql: string) => SpanAbout;
  readonly tracing: Tracing;
}

class TracedDriver implements Driver {
  readonly #traced = new WeakMap<DatabaseConnection, TracedConnection>();

  constructor(
    private readonly driver: Driver,
    private readonly parts: Parts,
  ) {}

  init(): Promise<void> {
    return this.driver.init();
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    const connection = await this.driver.acquireConnection();
    const traced = this.#traced.get(connection) ?? new TracedConnection(connection, this.parts);
    this.#traced.set(connection, traced);
    return traced;
  }

  beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    return this.driver.beginTransaction(connection, settings);
  }

  commitTransaction(connection: DatabaseConnection): Promise<void> {
    return this.driver.commitTransaction(connection);
  }

  rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    return this.driver.rollbackTransaction(connection);
  }

  /** The driver knows its own by something that only it has. */
  releaseConnection(connection: DatabaseConnection): Promise<void> {
    return this.driver.releaseConnection(connection instanceof TracedConnection ? connection.inner : connection);
  }

  destroy(): Promise<void> {
    return this.driver.destroy();
  }
}

class TracedConnection implements DatabaseConnection {
  constructor(
    readonly inner: DatabaseConnection,
    private readonly parts: Parts,
  ) {}

  executeQuery<Row>(query: CompiledQuery) {
    const { about, tracing } = this.parts;
    return tracing.span(about(query.sql), () => this.inner.executeQuery<Row>(query));
  }

  streamQuery<Row>(query: CompiledQuery, chunkSize: number) {
    return this.inner.streamQuery<Row>(query, chunkSize);
  }
}
