import { type Kysely, sql } from "kysely";
import { StartError } from "../errors.js";
import { reasonOf } from "./reason.js";

export const LEAST_VERSION = 15;

/** `gateway at db.example.com:5432`: what messages may say of a URL. */
export function nameDatabase(url: string): string {
  const { host, pathname, searchParams } = new URL(url);
  const name = decodeURIComponent(pathname.slice(1));
  return `${name} at ${decodeURIComponent(host) || searchParams.get("host")}`;
}

/** Throws a `StartError` when the server cannot be reached, or is none that the gateway's statements were written for. */
export async function checkServer<Tables>(database: Kysely<Tables>, name: string): Promise<void> {
  const server = await ask(database, name);
  if (server.version < LEAST_VERSION * 10_000) {
    throw new StartError(
      `The database ${name} is on a Postgres server before version ${LEAST_VERSION}: update the server, or name another with DATABASE_URL.`,
    );
  }
  if (server.encoding !== "UTF8") {
    throw new StartError(
      `The database ${name} has the encoding ${server.encoding}, which cannot hold every user's name: create it with encoding UTF8, or name another with DATABASE_URL.`,
    );
  }
}

interface Server {
  /** Such as 150004. */
  readonly version: number;
  readonly encoding: string;
}

async function ask<Tables>(database: Kysely<Tables>, name: string): Promise<Server> {
  try {
    return await describeServer(database);
  } catch (error) {
    throw new StartError(
      `The database ${name} cannot be reached (${reasonOf(error)}): check that Postgres runs there and lets this user in, or name another with DATABASE_URL.`,
      { cause: error },
    );
  }
}

export async function describeServer<Tables>(database: Kysely<Tables>): Promise<Server> {
  const query = sql<Server>`
    select current_setting('server_version_num')::integer as version, current_setting('server_encoding') as encoding`;
  const { rows } = await query.execute(database);
  return rows[0] ?? { version: 0, encoding: "unknown" };
}
