/** Databases of the benchmark's own on the Postgres server that TEST_POSTGRES_URL names, or on the one of this machine. */
import { Client } from "pg";

const DEFAULT_SERVER = "postgres://root@127.0.0.1:5432/test";

/** Undefined when none answers there. */
export async function findPostgres(): Promise<string | undefined> {
  const server = process.env.TEST_POSTGRES_URL || DEFAULT_SERVER;
  return (await versionOf(server)) === undefined ? undefined : server;
}

export async function versionOf(server: string): Promise<string | undefined> {
  const [row] = await ask<{ version: string }>(server, "select current_setting('server_version') as version").catch(
    () => [],
  );
  return row?.version;
}

/** The address of a new database, or of the one of this name that is there. */
export async function haveDatabase(server: string, name: string): Promise<string> {
  const there = await ask(server, `select from pg_database where datname = '${name}'`);
  if (there.length === 0) await ask(server, `create database ${name} template template0 encoding 'UTF8'`);
  const url = new URL(server);
  url.pathname = name;
  return url.href;
}

export async function dropDatabase(server: string, name: string): Promise<void> {
  await ask(server, `drop database if exists ${name} with (force)`);
}

export async function ask<Row>(url: string, statement: string): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement)).rows as Row[];
  } finally {
    await client.end();
  }
}
