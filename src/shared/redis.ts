/**
 * The connection to Redis, for what several instances share and may lose.
 *
 * It is never waited for: the gateway starts without it, commands fail at once while it is away and within
 * `COMMAND_TIMEOUT_MS` while it is slow, and it comes back by itself. What a failed command means is the caller's to say.
 */
import { Redis } from "ioredis";
import type { Secret } from "../config/secret.js";
import type { Tracing } from "../observe/tracing.js";

/** How long a command may take, from the call to the reply. */
const COMMAND_TIMEOUT_MS = 250;
/** A connection that owes a reply and has sent nothing for this long is given up for a new one. */
const STALLED_MS = 1000;
const CONNECT_TIMEOUT_MS = 2000;
/** Between attempts to connect: doubled from the first to the last. */
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 1000;

export interface RedisConnection {
  /** Commands reject when they fail, and put the prefix before every key. */
  readonly client: Redis;
  /** Resolves when Redis answers. */
  check(): Promise<void>;
  /** Commands under way are rejected. */
  close(): Promise<void>;
}

export interface RedisOptions {
  /** redis:// or rediss:// */
  readonly url: Secret;
  /** Once an outage, at its beginning. */
  readonly onLost: (error: Error) => void;
  /** At its end. */
  readonly onBack: () => void;
  /** Before every key. */
  readonly prefix?: string | undefined;
  readonly tracing?: Tracing | undefined;
}

/** Begins to connect and returns at once. */
export function connectRedis(options: RedisOptions): RedisConnection {
  const { url, onLost, onBack, prefix = "acs-token-gateway:", tracing } = options;
  const client = new Redis(url.reveal(), {
    keyPrefix: prefix,
    connectionName: "acs-token-gateway",
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: STALLED_MS,
    retryStrategy: (attempt) => Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LAST_RETRY_MS),
    // After a failover the old primary refuses writes: its name has to be looked up again.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
    // Nothing waits for a connection, and nothing is sent twice.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
  });
  if (tracing) traceCommands(client, tracing);
  const watched = watch(client, { onLost, onBack });
  // Failures arrive as events.
  client.connect().catch(() => {});
  return {
    client,
    check: async () => {
      // It is ready, too, for a moment, where it is not to be used.
      const problem = watched.problem();
      if (client.status !== "ready" || problem) throw new Error(`not connected (${problem?.message ?? "connecting"})`);
      await client.ping();
    },
    close: async () => {
      watched.stop();
      client.disconnect();
    },
  };
}

/** A span for each command, by its name: keys are made of users. */
function traceCommands(client: Redis, tracing: Tracing): void {
  const send = client.sendCommand.bind(client);
  client.sendCommand = (command, stream) => {
    const name = command.name.toUpperCase();
    const attributes = { "db.system.name": "redis", "db.operation.name": name };
    return tracing.span({ name, kind: "client", attributes }, () => send(command, stream));
  };
}

interface Watched {
  /** The last thing that went wrong since Redis was there. */
  problem(): Error | undefined;
  /** What follows is no outage: it is closed on purpose. */
  stop(): void;
}

/** Calls back once at each end of an outage. */
function watch(client: Redis, { onLost, onBack }: Pick<RedisOptions, "onLost" | "onBack">): Watched {
  let last: Error | undefined;
  let state: "there" | "away" | "stopped" = "there";
  /** Of this connection: it is to another database than it should be. */
  let isRefused = false;
  let retry: NodeJS.Timeout | undefined;
  const lost = (error: Error) => {
    last = error;
    if (state !== "there") return;
    state = "away";
    onLost(error);
  };
  client.on("connect", () => {
    isRefused = false;
  });
  client.on("error", (error: Error) => {
    isRefused ||= isOfSelect(error);
    lost(error);
  });
  // The client would go on, and in the database number 0, where others may have what is theirs.
  const leave = () => {
    if (state === "stopped") return;
    // Until its connection is closed the client takes no other.
    client.once("end", () => {
      if (state === "stopped") return;
      retry = setTimeout(() => client.connect().catch(() => {}), LAST_RETRY_MS).unref();
    });
    client.disconnect();
  };
  client.on("close", () => lost(last ?? new Error("the connection was closed")));
  client.on("ready", () => {
    if (isRefused) return leave();
    last = undefined;
    if (state !== "away") return;
    state = "there";
    onBack();
  });
  return {
    problem: () => last,
    stop: () => {
      state = "stopped";
      clearTimeout(retry);
    },
  };
}

/** Refused: there is no database of this number, or this user may not use it. */
function isOfSelect(error: Error): boolean {
  return (error as { command?: { name?: string } }).command?.name === "select";
}
