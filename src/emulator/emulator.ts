/*
 * An emulator of the Azure Communication Services identity service: one resource, its identities and their tokens,
 * behind the service's own REST protocol. An SDK given its connection string cannot tell it from the service; a
 * test can, by the control endpoints under /_emulator.
 *
 * A request is received whole; a control request is answered at once (control.ts). Any other goes through the steps
 * of dispatch.ts: match the operation (routing.ts, operations.ts), count it, check the api-version, verify the
 * signature (hmac.ts), read the JSON, take from the rate limit, meet a fault if one is waiting (faults.ts), wait as long
 * as the service would, do the operation's work (operations.ts), answer.
 *
 * What must last is in SQLite (database.ts): the resource and its access keys, the identities, the signing key. A
 * change is committed before it is answered. Faults, counts and rate limits are the process's own. Tokens are not
 * kept: each names the revocations it was issued under (tokens.ts).
 */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { Calls } from "./calls.js";
import { openDatabase } from "./database.js";
import { Dispatcher } from "./dispatch.js";
import { Faults } from "./faults.js";
import { Identities } from "./identities.js";
import { RateLimits } from "./rate-limits.js";
import { Resource } from "./resource.js";
import { loadSigningKey, type SigningKey } from "./signing-key.js";
import { Tokens } from "./tokens.js";

/** Long, as at a front door: a client that reuses an idle connection must not meet its end. */
const KEEP_ALIVE_MS = 120_000;

export interface EmulatorOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Keeps the state here; left out, in memory. */
  readonly file?: string | undefined;
  /** A GUID. Left out: the one in the file, or a random one. */
  readonly resourceId?: string | undefined;
  /** Base64. Left out: the one in the file, or 64 random bytes. Another than in the file rotates the primary key. */
  readonly accessKey?: string | undefined;
  /** `realistic` takes as long for each operation as the service was seen to. */
  readonly latency: "none" | "realistic";
  /** Refuses what goes over the published limits. */
  readonly rateLimits: boolean;
  /** Ms since 1970. */
  readonly now?: () => number;
}

export interface Emulator {
  /** As in `http://127.0.0.1:4002/`. */
  readonly endpoint: string;
  /** With the primary key as it is now. */
  readonly connectionString: string;
  /** With the secondary one. */
  readonly secondaryConnectionString: string;
  readonly resourceId: string;
  readonly port: number;
  /** Cuts every connection, those of hung calls too. Calls that still wait take no effect. */
  close(): Promise<void>;
}

/** Rejects with the original error if it cannot listen. */
export async function startEmulator(options: EmulatorOptions): Promise<Emulator> {
  const database = openDatabase(options.file);
  try {
    return await start(options, database);
  } catch (error) {
    database.close();
    throw error;
  }
}

async function start(options: EmulatorOptions, database: DatabaseSync): Promise<Emulator> {
  const resource = new Resource(database, options);
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS });
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  const endpoint = `http://${reachable(options.host)}:${port}/`;
  const connectionString = (accessKey: string) => `endpoint=${endpoint};accesskey=${accessKey}`;

  const closing = new AbortController();
  const signingKey = prepareSigningKey(database);
  const parts = { options, database, resource, signingKey, connectionString, closing: closing.signal };
  const dispatcher = compose(parts);
  server.on("request", (request, response) => {
    dispatcher.handle(request, response).catch(() => request.socket.destroy());
  });

  const close = async () => {
    closing.abort();
    await stop(server);
    await signingKey.catch(() => undefined);
    database.close();
  };
  let closed: Promise<void> | undefined;
  return {
    endpoint,
    resourceId: resource.id,
    port,
    get connectionString() {
      return connectionString(resource.accessKey("primary").value);
    },
    get secondaryConnectionString() {
      return connectionString(resource.accessKey("secondary").value);
    },
    close() {
      closed ??= close();
      return closed;
    },
  };
}

interface Ingredients {
  readonly options: EmulatorOptions;
  readonly database: DatabaseSync;
  readonly resource: Resource;
  readonly signingKey: Promise<SigningKey>;
  readonly connectionString: (accessKey: string) => string;
  readonly closing: AbortSignal;
}

function compose({ options, database, resource, signingKey, connectionString, closing }: Ingredients): Dispatcher {
  const now = options.now ?? Date.now;
  const identities = new Identities(database, resource.id);
  return new Dispatcher({
    resource,
    identities,
    tokens: new Tokens({ resource, identities, signingKey, now }),
    signingKey,
    faults: new Faults(),
    calls: new Calls(),
    rateLimits: new RateLimits(options.rateLimits, now),
    latency: options.latency,
    connectionString,
    now,
    wait: (ms) => setTimeout(ms, undefined, { signal: closing }),
  });
}

/** In the background: only the first token has to wait for a new key. Whoever awaits it sees a failure. */
function prepareSigningKey(database: DatabaseSync): Promise<SigningKey> {
  const signingKey = loadSigningKey(database);
  signingKey.catch(() => undefined);
  return signingKey;
}

function listen(server: Server, { port, host }: EmulatorOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    // Stays: without a listener, a connection that cannot be accepted later on would end the process.
    server.on("error", reject);
    server.listen({ port, host }, resolve);
  });
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** A wildcard is an address to listen on, not one to call. */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}
