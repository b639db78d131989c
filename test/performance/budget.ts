/**
 * What one request costs: the guard against getting slower that no busy machine disturbs. Each line says what an
 * operation is for, and how often each kind of request does it: not once more in a hundred of them, and not once less. Whoever
 * takes one away lowers its line; whoever adds one has to say here what for.
 */
import type { Operation } from "./operations.js";

/**
 * `issueAccessToken` that finds its token in the cache, one at a time and 32 at once (what many share is then 0); `viewer`;
 * `issueAccessToken` that mints, for a known identity; and the first one of a user, with a token that nobody has seen before.
 */
export const REQUESTS = ["reused", "reused, 32 at once", "viewer", "minted", "first"] as const;
export type Request = (typeof REQUESTS)[number];

export type Budgeted = Operation | "service call" | "log line";

/** Where a line holds; left out: anywhere. */
export type Part = "SQLite" | "Postgres" | "Redis" | "no Redis";

/** In the order of the kinds. */
type Each<Value> = readonly [Value, Value, Value, Value, Value];
type Line = readonly [operation: Budgeted, what: string, times: Each<number>, part?: Part];
/** `_`: as often as the lines say. */
type ShareLine = readonly [
  operation: Operation,
  label: RegExp,
  why: string,
  most: Each<number | typeof _>,
  part?: Part,
];
const _ = undefined;

const BUDGET: readonly Line[] = [
  // reused, 32 at once, viewer, minted, first
  ["service call", "the token, and with it the identity of a first-time user", [0, 0, 0, 1, 1]],

  ["answer write", "head and body together", [1, 1, 1, 1, 1]],

  ["sql", "who has an identity: the row by its user", [1, 1, 1, 1, 1], "SQLite"],
  [
    "sql",
    "the same, for all who ask in one turn of the event loop; none for who comes again",
    [0, 0, 1, 1, 1],
    "Postgres",
  ],
  ["sql", "the same, before the row is claimed and after", [0, 0, 0, 0, 2]],
  ["sql", "the row claimed for its user", [0, 0, 0, 0, 1]],
  ["sql", "the attempt: what was left of an older one, begun, the row looked at again", [0, 0, 0, 0, 3]],
  ["sql", "begin, attempt ended, identity bound to its row, commit", [0, 0, 0, 0, 4]],
  ["sql", "the issue noted in the row, unless tokens were revoked", [0, 0, 0, 1, 0]],
  ["sql", "the last look at the row before the token leaves", [1, 1, 0, 1, 1], "SQLite"],
  [
    "sql",
    "the same, for all who ask in one turn of the event loop; for who comes again the record looks",
    [0, 0, 0, 1, 1],
    "Postgres",
  ],
  ["sql", "audit records: the intent", [0, 0, 0, 1, 1]],
  ["sql", "audit records: the outcome; all that come at once in one", [1, 0, 0, 1, 1]],

  ["commit", "the row claimed; an older attempt ended; the attempt begun; the identity bound", [0, 0, 0, 0, 4]],
  ["commit", "the issue noted", [0, 0, 0, 1, 0]],
  ["commit", "audit records", [1, 0, 0, 2, 2]],
  ["sync of the trail", "audit records, after each of their commits", [1, 0, 0, 2, 2], "SQLite"],
  ["postgres write", "one for each statement", [1, 0, 1, 5, 14], "Postgres"],
  ["redis write", "one for each command", [2, 2, 1, 6, 5], "Redis"],

  ["redis command", "the user's budget of requests", [1, 1, 1, 1, 1], "Redis"],
  ["redis command", "budgets of the user's and the issuer's mints, by a script each", [0, 0, 0, 2, 2], "Redis"],
  ["redis command", "the pace of calls to the service", [0, 0, 0, 1, 1], "Redis"],
  ["redis command", "the token looked for", [1, 1, 0, 1, 0], "Redis"],
  ["redis command", "the token kept", [0, 0, 0, 1, 1], "Redis"],

  ["crypto", "the request's id", [1, 1, 1, 1, 1]],
  ["crypto", "a hash of the caller's token, to find what was verified", [1, 1, 1, 1, 1]],
  ["crypto", "the signature of a token that is new, and its hash to keep it", [0, 0, 0, 0, 2]],
  ["crypto", "Apollo's hash of the document", [1, 1, 1, 1, 1]],
  ["crypto", "ids of identity and attempt", [0, 0, 0, 0, 2]],
  ["crypto", "the key under which a token is looked for, and under which it is kept", [1, 1, 0, 2, 1], "Redis"],
  [
    "crypto",
    "keys of budgets: the user's, for a new caller and for who is read from a row, and the issuer's",
    [0, 0, 0, 2, 2],
  ],
  ["crypto", "the commitment of a record's actor, and its hash", [2, 2, 0, 4, 6]],
  ["crypto", "the fingerprint of a token that the trail has not seen", [0, 0, 0, 1, 1]],
  ["crypto", "the service's signature over a request: its content's hash and the HMAC", [0, 0, 0, 2, 2]],
  ["crypto", "a token out of Redis is opened, and is a new one to the trail", [2, 2, 0, 0, 0], "Redis"],
  ["crypto", "a token into Redis is sealed: nonce and cipher", [0, 0, 0, 2, 2], "Redis"],

  ["timer", "a write of the trail: the turn that is waited for, and its time-out", [2, 0, 0, 4, 4]],
  ["timer", "how long a call may wait before the service", [0, 0, 0, 1, 1]],
  ["timer", "the time-out of each command's answer", [2, 2, 1, 6, 5], "Redis"],
  ["timer", "how long a connection that requests have given back may be idle", [0, 0, 1, 2, 9], "Postgres"],
  ["timer", "the turn in which rows that are asked for together are read", [2, 0, 0, 2, 5], "SQLite"],
  ["timer", "the same", [0, 0, 0, 2, 5], "Postgres"],

  ["signal", "the request's deadline, for who may have to wait for another call", [0, 0, 0, 1, 1]],
  ["signal", "a call to the service: deadlines of its own, and what its client makes of them", [0, 0, 0, 4, 4]],

  ["log line", "the request", [1, 1, 1, 1, 1]],
  ["log line", "an identity provisioned", [0, 0, 0, 0, 1]],
  ["metric", "requests, and their time", [2, 2, 2, 2, 2]],
  ["metric", "what was done, by action: a token reused or issued, an identity provisioned", [1, 1, 0, 1, 2]],
  ["metric", "asked of the token cache", [1, 1, 0, 1, 0]],
  ["metric", "writes of the trail, and records", [2, 0, 0, 4, 4]],
  ["metric", "calls to the service, and their time", [0, 0, 0, 2, 2]],
];

/** What of it, by its label, is not each request's own, so that nobody can say how often it is; but it is no more often than that. */
const SHARED: readonly ShareLine[] = [
  // reused, 32 at once, viewer, minted, first
  ["sql", /^(begin|rollback)$/, "rows are read together: how many, chance decides", [_, 1, _, _, _], "SQLite"],
  ["sql", /into "?audit_events/, "records are written together, how many too", [_, 0.5, _, _, _]],
  ["commit", /into "?audit_events/, "the same", [_, 0.5, _, _, _]],
  ["sync of the trail", /^/, "the same", [_, 0.5, _, _, _], "SQLite"],
  ["postgres write", /^/, "the same", [_, 0.5, _, _, _], "Postgres"],
  ["metric", /^gateway_audit_(writes|records)_total$/, "the same", [_, 1, _, _, _]],
  [
    "timer",
    /in (audit\/trail|store\/identity-rows|in-time).ts$/,
    "of what is read and written together",
    [_, 1, _, _, _],
  ],
  ["timer", /in http\/turns.ts$/, "a turn for 33 that begin in one", [0.04, 0.04, 0.04, 0.04, 0.04]],
  [
    "timer",
    /^setTimeout 1000 ms/,
    "of Redis: how long it may say nothing while commands wait",
    [2, 2, 1, 6, 5],
    "Redis",
  ],
  [
    "timer",
    /^setTimeout 3000 ms in store\/dialect-postgres.ts$/,
    "how long a connection may be waited for: a last look needs none while the record is not answered",
    [1, 0.5, 1, 5, 13],
    "Postgres",
  ],
  ["crypto", /in audit\/random-pool.ts$/, "salts are drawn by the hundred", [0.01, 0.01, 0, 0.01, 0.02]],
];

/** How often a request does what its lines say. */
export function budgetOf(request: Request, parts: readonly Part[]): Map<Budgeted, number> {
  const sums = new Map<Budgeted, number>();
  const column = REQUESTS.indexOf(request);
  for (const [operation, , times, part] of BUDGET) {
    if (isOf(parts, part)) sums.set(operation, (sums.get(operation) ?? 0) + (times[column] ?? 0));
  }
  return sums;
}

export interface Shared {
  readonly operation: Operation;
  readonly label: RegExp;
  readonly most: number;
}

/** What is to be taken out of what is counted before that is held against the lines. */
export function sharedBy(request: Request, parts: readonly Part[]): Shared[] {
  const column = REQUESTS.indexOf(request);
  return SHARED.flatMap(([operation, label, , each, part]) => {
    const most = each[column];
    return most !== undefined && isOf(parts, part) ? { operation, label, most } : [];
  });
}

function isOf(parts: readonly Part[], part: Part | undefined): boolean {
  return part === undefined || parts.includes(part);
}
