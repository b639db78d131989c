import { hash } from "node:crypto";
import { type Dialect, PostgresDialect, type PostgresPool, type PostgresPoolClient } from "kysely";
import { DatabaseError, Pool, type PoolClient, type PoolConfig, type QueryResult, TypeOverrides, types } from "pg";
import { GatewayError } from "../errors.js";

/** Together well under the deadline of a request, so that a database that hangs is told from one that works. */
const CONNECT_TIMEOUT_MS = 3000;
const STATEMENT_TIMEOUT_MS = 4000;
/** After the server's own time-out: only a server or a network that says nothing at all gets here. */
const ANSWER_TIMEOUT_MS = 5000;
/** Less than the trail itself waits for a write, so that the connection is free again for the next one. */
const TRAIL_STATEMENT_TIMEOUT_MS = 2000;
const TRAIL_ANSWER_TIMEOUT_MS = 2500;
/** A schema change over many rows takes its time, and so does waiting for another instance's. */
const MIGRATION_TIMEOUT_MS = 10 * 60_000;
/** A process that froze inside a transaction must not hold its rows for ever. */
const IDLE_TRANSACTION_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_AFTER_MS = 10_000;
/** The server leaves out what is longer than 63 bytes. */
const NAME_LENGTH = 48;

/**
 * A commit is answered when it is on disk, whatever the database or the role is told, as some are for speed. What waits for stand-bys
 * stays as it is: so this is a statement, and no parameter of the connection, which would stand in place of that.
 */
const DURABLE = {
  text: "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'",
  // Behind a pooler it is this that waits for a connection to the server.
  query_timeout: CONNECT_TIMEOUT_MS,
};

/** How often connections to a server have been lost, as far as those who share this know. */
interface Losses {
  count: number;
}

interface PostgresOptions {
  readonly url: string;
  readonly maxConnections: number;
  /** Who may wait for a connection; what comes on top is refused at once, so that an outage cannot fill the memory. */
  readonly queueSize: number;
  readonly purpose: Purpose;
  /**
   * Statements of which the server keeps the plan with each connection: such as have but one, or are planned anew once in a while, as a
   * plan that was right for a small table is kept when the table has grown; and outside of a transaction, which a lost plan would end.
   */
  readonly prepared?: readonly string[];
  /** How many statements a connection may have under way, each sent before the one in front of it is answered; none of them in a transaction. */
  readonly atOnce?: number;
  /** Of others with connections to the same server: what one of them has noticed is not found out by each. */
  readonly losses?: Losses;
}

type SessionsOptions = Required<Pick<PostgresOptions, "prepared" | "queueSize" | "atOnce" | "losses">> & {
  /** ms */
  readonly answerTimeout: number;
};

type Purpose = "requests" | "trail" | "migration";

/** What each is for, and how long an answer is waited for, ms. */
const SETTINGS = {
  requests: {
    answerTimeout: ANSWER_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_TIMEOUT_MS,
  },
  trail: {
    answerTimeout: TRAIL_ANSWER_TIMEOUT_MS,
    statement_timeout: TRAIL_STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_TIMEOUT_MS,
    // Kept: where others take every connection of the server, a new one would not be had.
    idleTimeoutMillis: 0,
  },
  migration: {
    answerTimeout: MIGRATION_TIMEOUT_MS,
    statement_timeout: MIGRATION_TIMEOUT_MS,
    idle_in_transaction_session_timeout: MIGRATION_TIMEOUT_MS,
  },
} as const satisfies Record<Purpose, PoolConfig & { readonly answerTimeout: number }>;

/** node-postgres behind Kysely. Connections are made when needed, and one that is lost is replaced at the next call. */
export function openPostgres(options: PostgresOptions): Dialect {
  const { url, maxConnections, queueSize, purpose, prepared = [], atOnce = 1, losses = { count: 0 } } = options;
  const { answerTimeout, ...settings } = SETTINGS[purpose];
  const pool = new Sessions(
    { prepared, queueSize, atOnce, losses, answerTimeout },
    {
      connectionString: url,
      max: maxConnections,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      ...settings,
      pipeline: atOnce > 1,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
      fallback_application_name: "acs-token-gateway",
      types: numbersForInt8(),
    },
  );
  return new PostgresDialect({ pool });
}

/** Our bigint columns hold ms since 1970, far below 2^53; by default they would come as text. */
function numbersForInt8(): TypeOverrides {
  const overrides = new TypeOverrides();
  overrides.setTypeParser(types.builtins.INT8, Number);
  return overrides;
}

/** A connection is given to nobody before. */
function makeDurable(client: PoolClient, done: (error?: Error) => void): void {
  client.query(DURABLE, (error: Error | null) => done(error ?? undefined));
}

/** Of its text, as a pooler may mix up the sessions of two versions. */
function nameOf(text: string): string {
  return `acs_token_gateway_${hash("sha256", text)}`.slice(0, NAME_LENGTH);
}

/**
 * The part of a pool that Kysely calls, with failures told apart. When one connection is lost, those made before are
 * most likely lost too, even if nothing has said so: none of them is used again.
 */
class Sessions implements PostgresPool {
  readonly options = {};
  readonly #pool: Pool;
  /** Of statements that are prepared, until a pooler makes that impossible. */
  readonly #names: Map<string, string>;
  readonly #options: SessionsOptions;
  /** One for each connection, for as long as it lasts: Kysely remembers each that it is given until the old generation is swept. */
  readonly #sessions = new WeakMap<PoolClient, Session>();
  /** The one that was taken last, which may take more. */
  #last: Session | undefined;
  /** Until whoever came last has been given one or refused, and how many wait for that. */
  #line = Promise.resolve();
  #inLine = 0;

  constructor(options: SessionsOptions, config: PoolConfig) {
    this.#names = new Map(options.prepared.map((text) => [text, nameOf(text)]));
    this.#options = options;
    this.#pool = new Pool({ ...config, verify: makeDurable });
    this.#pool.on("connect", (client) => {
      const session = new Session({
        client,
        lossesBefore: options.losses.count,
        names: this.#names,
        answerTimeout: options.answerTimeout,
        isShared: options.atOnce > 1,
        lose: () => this.#lose(session),
      });
      this.#sessions.set(client, session);
      // Without a listener a connection lost while in use would end the process; the pool listens to idle ones only.
      client.on("error", () => this.#lose(session));
    });
    // Said of an idle connection, which the pool has dropped already.
    this.#pool.on("error", () => {});
  }

  async connect(): Promise<PostgresPoolClient> {
    if (this.#isFull()) throw unavailable(new Error("too many wait for a connection"));
    return this.#options.atOnce === 1 ? await this.#take() : await this.#takeInTurn();
  }

  /**
   * In the order in which they come, whatever becomes of a connection meanwhile: what is sent behind something must not come before
   * it. The first waits for a connection, and as many of those behind it as it has room for join it. Who has waited for as long as
   * a connection is waited for is refused, or with a server that says nothing each would have to wait for all in front of it.
   */
  async #takeInTurn(): Promise<Session> {
    const before = this.#line;
    const turn = Promise.withResolvers<void>();
    this.#line = turn.promise;
    this.#inLine += 1;
    const until = performance.now() + CONNECT_TIMEOUT_MS;
    await before;
    try {
      if (performance.now() > until) throw unavailable(new Error("there was no connection in time"));
      return await this.#take();
    } finally {
      this.#inLine -= 1;
      turn.resolve();
    }
  }

  async #take(): Promise<Session> {
    for (;;) {
      if (this.#last?.isInUse && this.#canTake(this.#last)) return this.#last.taken();
      const client = await this.#pool.connect().catch((error: unknown) => {
        throw unavailable(error);
      });
      this.#last = this.#sessions.get(client);
      if (this.#last && this.#canTake(this.#last)) return this.#last.taken();
      client.release(true);
    }
  }

  async end(): Promise<void> {
    await this.#pool.end();
  }

  /** Of those who came just now, some have yet to be given what is free. */
  #isFull(): boolean {
    const { waitingCount, idleCount, totalCount, options } = this.#pool;
    const { atOnce, queueSize } = this.#options;
    return Math.max(this.#inLine - atOnce, waitingCount - idleCount - (options.max - totalCount)) >= queueSize;
  }

  #canTake(session: Session): boolean {
    const { atOnce, losses } = this.#options;
    return session.lossesBefore === losses.count && session.canTake(atOnce);
  }

  #lose(session: Session): void {
    session.isUsable = false;
    const { losses } = this.#options;
    if (session.lossesBefore === losses.count) losses.count += 1;
  }
}

interface SessionParts {
  readonly client: PoolClient;
  /** How often connections had been lost when it was made. */
  readonly lossesBefore: number;
  /** Of statements that are prepared. */
  readonly names: Map<string, string>;
  /** ms */
  readonly answerTimeout: number;
  /** It has several statements under way. */
  readonly isShared: boolean;
  /** No connection made until now is to be used again. */
  readonly lose: () => void;
}

/** A connection, as Kysely asks it. */
class Session implements PostgresPoolClient {
  /** False once it has failed as only a connection, or a server in trouble, does. */
  isUsable = true;
  readonly #parts: SessionParts;
  #users = 0;
  /** Of the statements under way, oldest first, as they are answered. */
  readonly #waiting: ((error: Error) => void)[] = [];
  /** One for all statements: with a timer of its own each costs more, and stays in memory until the old generation is swept. */
  readonly #timer: NodeJS.Timeout;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#timer = setTimeout(() => this.#giveUp(), parts.answerTimeout).unref();
    parts.client.once("end", () => clearTimeout(this.#timer));
  }

  get lossesBefore(): number {
    return this.#parts.lossesBefore;
  }

  get isInUse(): boolean {
    return this.#users > 0;
  }

  canTake(atOnce: number): boolean {
    return this.isUsable && this.#users < atOnce;
  }

  taken(): this {
    this.#users += 1;
    return this;
  }

  // The other form that Kysely knows, with a cursor, is for streams, which the store has none of.
  readonly query = (async (text: string, values: readonly unknown[]) => {
    try {
      return await this.#ask(text, [...values]);
    } catch (error) {
      if (error instanceof NoAnswer || hasState(error, ENDING_STATES)) this.#parts.lose();
      throw this.isUsable ? error : unavailable(error);
    }
  }) as unknown as PostgresPoolClient["query"];

  release(destroy = false): void {
    this.#users -= 1;
    if (destroy) this.isUsable = false;
    if (!this.isInUse) this.#parts.client.release(!this.isUsable);
  }

  /** Not by node-postgres alone, which waits for what was sent ahead. */
  #giveUp(): void {
    if (this.#waiting.length === 0) return;
    for (const reject of this.#waiting.splice(0)) reject(new NoAnswer());
    this.#parts.client.connection.stream.destroy();
  }

  async #ask(text: string, values: unknown[]): Promise<QueryResult> {
    const { names, isShared } = this.#parts;
    try {
      return await this.#run(text, values, names.get(text));
    } catch (error) {
      if (!isPlanLost(error)) throw error;
      // Unless it was to be prepared with a statement in front of this one, and that failed.
      if (this.isUsable) names.clear();
      // What was sent behind it is ahead of it by now, which is for whoever asks to bear in mind.
      if (isShared) throw error;
    }
    return await this.#run(text, values);
  }

  /**
   * By callback: where node-postgres makes the promise, a statement refers to the next one of its connection, and once one is in
   * the old generation all that follow get there, too, until that is swept.
   */
  #run(text: string, values: unknown[], name?: string): Promise<QueryResult> {
    const { client } = this.#parts;
    return new Promise((resolve, reject) => {
      // The time is that of the oldest, which what is sent behind it must not prolong.
      if (this.#waiting.push(reject) === 1) this.#timer.refresh();
      const answered = (error: Error | null, result: QueryResult) => {
        this.#waiting.shift();
        if (error && hasState(error, UNAVAILABLE_STATES)) this.isUsable = false;
        // The server turns to the next one only now.
        if (this.#waiting.length > 0) this.#timer.refresh();
        if (error) reject(error);
        else resolve(result);
      };
      if (name === undefined) client.query(text, values, answered);
      else client.query({ name, text, values }, answered);
    });
  }
}

/** The connection still waits for the answer, so it must not be used again. */
class NoAnswer extends Error {
  override readonly message = "the server has not answered in time";
}

/**
 * SQLSTATE classes and codes of a database that cannot do its work now: connection (08), authorisation (28), read-only
 * (25006), no such database (3D000), conflicts that another attempt resolves (40001, 40P01), resources (53), a lock that
 * is held (55P03), cancelled or shutting down (57014, 57P0x), input and output (58), corrupt (XX001, XX002).
 */
const UNAVAILABLE_STATES = /^(08|28|53|58)|^(25006|3D000|40001|40P01|55P03|57014|57P0\d|XX00[12])$/;

/** Those after which the server ends the connection. */
const ENDING_STATES = /^(08|57P0)/;

/** A lock that is not to be had in time, or in no order. */
const HELD_STATES = /^(55P03|40P01)$/;

/** No such prepared statement, or one of this name. */
const PLAN_STATES = /^(26000|42P05)$/;
/** It would answer in other types, as somebody has changed a column. The code, "feature not supported", stands for much else. */
const REVALIDATES = "RevalidateCachedQuery";

/**
 * The session is not the one in which the statement was prepared, or the tables are not, which is said before it is run: it can be
 * asked again, and is not prepared any more.
 */
export function isPlanLost(error: unknown): boolean {
  return hasState(error, PLAN_STATES) || (error instanceof DatabaseError && error.routine === REVALIDATES);
}

/** A table is held by others. */
export function isTableHeld(error: unknown): boolean {
  return error instanceof GatewayError && hasState(error.cause, HELD_STATES);
}

function hasState(error: unknown, states: RegExp): boolean {
  return error instanceof DatabaseError && states.test(error.code ?? "");
}

/** A database in trouble is STORE_UNAVAILABLE; a statement that is wrong is a bug and stays what it is. */
function unavailable(cause: unknown): GatewayError {
  return new GatewayError("STORE_UNAVAILABLE", "The gateway's database does not answer.", { cause });
}
