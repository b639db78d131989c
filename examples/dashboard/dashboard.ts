/**
 * A dashboard in a terminal: lists all identities with the last token of each, then shows the audit trail as it grows, until
 * it is stopped. A connection that breaks is resumed behind the last event that was shown.
 */
import { setTimeout } from "node:timers/promises";
import { createClient } from "graphql-sse";

const { GATEWAY_URL = "http://127.0.0.1:4000/graphql" } = process.env;
/** Whatever gives an operator's caller token; here the development issuer. */
const { TOKEN_URL = "http://127.0.0.1:4001/token.txt?subject=otto&roles=Gateway.Auditor" } = process.env;
const NO_TOKEN = "TOKEN_URL gives no caller token: set TOKEN_URL to what answers an operator's, as text.";

const IDENTITIES = `
  query Identities($after: String) {
    identities(first: 100, after: $after, orderBy: { field: LAST_TOKEN_ISSUED_AT, direction: DESC }) {
      nodes {
        status
        user { subject }
        tokenRecords(first: 1) { nodes { scopes issuedAt expiresOn revoked } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }`;

const FOLLOW = `
  subscription Follow($after: String) {
    auditEventAdded(after: $after) {
      cursor
      node { at action phase actor { subject } scopes reason clientName }
    }
  }`;

interface Identities {
  readonly identities: {
    readonly nodes: readonly {
      readonly status: string;
      readonly user: { readonly subject: string } | null;
      readonly tokenRecords: { readonly nodes: readonly TokenRecord[] };
    }[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  };
}

interface TokenRecord {
  readonly scopes: readonly string[];
  readonly issuedAt: string;
  readonly expiresOn: string;
  readonly revoked: boolean;
}

interface Added {
  readonly auditEventAdded: {
    readonly cursor: string;
    readonly node: {
      readonly at: string;
      readonly action: string;
      readonly phase: string;
      readonly actor: { readonly subject: string } | null;
      readonly scopes: readonly string[] | null;
      readonly reason: string | null;
      readonly clientName: string | null;
    };
  };
}

interface Result<Data> {
  readonly data?: Data | null;
  readonly errors?: readonly { readonly message: string; readonly extensions?: { readonly code?: string } }[];
}

async function listIdentities(): Promise<void> {
  let after: string | null = null;
  do {
    const { identities }: Identities = await ask(IDENTITIES, { after });
    for (const { status, user, tokenRecords } of identities.nodes) {
      print(user?.subject ?? "(erased)", status, lastToken(tokenRecords.nodes[0]));
    }
    after = identities.pageInfo.hasNextPage ? identities.pageInfo.endCursor : null;
  } while (after !== null);
}

function lastToken(record: TokenRecord | undefined): string {
  if (record === undefined) return "no token yet";
  const { scopes, issuedAt, expiresOn, revoked } = record;
  return `${scopes.join(" ")} ${issuedAt} ${revoked ? "revoked" : `until ${expiresOn}`}`;
}

/** For good: whatever ends a connection, but for a refusal that will not change. */
async function follow(): Promise<never> {
  let after: string | undefined;
  for (;;) {
    const client = createClient({ url: GATEWAY_URL, headers: authorization, retryAttempts: 0 });
    try {
      for await (const result of client.iterate({ query: FOLLOW, variables: { after } })) {
        const { auditEventAdded } = dataOf(result as Result<Added>);
        after = auditEventAdded.cursor;
        const { at, action, phase, actor, scopes, reason, clientName } = auditEventAdded.node;
        print(at, action, phase, actor?.subject ?? "-", scopes?.join(" ") ?? "-", reason ?? "-", clientName ?? "-");
      }
    } catch (error) {
      if (error instanceof Refused && error.isFinal) throw error;
      print(`interrupted: ${error instanceof Error ? error.message : "no connection"}`);
    }
    await setTimeout(1000 + 1000 * Math.random());
  }
}

class Refused extends Error {
  readonly isFinal: boolean;

  constructor(code: string | undefined, message: string) {
    super(message);
    // The others pass: the caller token has expired, an instance is being stopped, the database is away.
    this.isFinal = code === "FORBIDDEN" || code === "BAD_USER_INPUT";
  }
}

function dataOf<Data>({ data, errors: [error] = [] }: Result<Data>): Data {
  if (data) return data;
  throw new Refused(error?.extensions?.code, error?.message ?? "no data");
}

async function ask<Data>(query: string, variables: object): Promise<Data> {
  const headers = { "content-type": "application/json", ...(await authorization()) };
  const response = await fetch(GATEWAY_URL, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  return dataOf((await response.json()) as Result<Data>);
}

/** Asked for each time, since a token ends before a dashboard does. */
async function authorization(): Promise<{ authorization: string }> {
  const response = await fetch(TOKEN_URL).catch((cause: unknown) => {
    throw new Error(NO_TOKEN, { cause });
  });
  if (!response.ok) throw new Error(NO_TOKEN);
  return { authorization: `Bearer ${(await response.text()).trim()}` };
}

/** Names come from whoever signs in and from apps, so nothing in them may steer the terminal. */
function print(...columns: string[]): void {
  process.stdout.write(`${columns.map((text) => text.replace(/\p{Cc}/gu, "·")).join("  ")}\n`);
}

await listIdentities();
await follow();
