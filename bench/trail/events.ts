/**
 * A trail as many users make it in a long time: 10,000 records a day, some 500 for each user, written by four processes that
 * are started anew now and then. Which record is which follows from its number alone (only salts are by chance), so that
 * filling can go on where it was broken off, and queries know what to ask for.
 */
import { createHash, randomBytes } from "node:crypto";
import { type ChainEnd, chain, GENESIS } from "../../src/audit/chain.js";
import { pooled } from "../../src/audit/random-pool.js";
import type { AuditAction, AuditEvent, AuditPhase, AuditRecord } from "../../src/audit/record.js";
import type { ApplicationUser } from "../../src/identities/identity.js";

export const DAY_MS = 86_400_000;
const INTERVAL_MS = DAY_MS / 10_000;
const BEGIN = Date.UTC(2024, 0, 1);
const RECORDS_PER_USER = 500;
const TOKENS_PER_USER = 60;
const WRITERS = 4;
/** Until every writer is started anew. */
const PERIOD = 250_000;

const INTENT_AND_OUTCOME: readonly AuditPhase[] = ["INTENT", "OUTCOME"];
const OUTCOME: readonly AuditPhase[] = ["OUTCOME"];

/** What happens, how often, in which records, and whether an operator does it. */
const HAPPENINGS: readonly (readonly [weight: number, AuditAction, readonly AuditPhase[], byOperator: boolean])[] = [
  [0.7, "TOKEN_REUSED", OUTCOME, false],
  [0.17, "TOKEN_ISSUED", INTENT_AND_OUTCOME, false],
  [0.08, "TOKEN_REFUSED", OUTCOME, false],
  [0.03, "IDENTITY_PROVISIONED", INTENT_AND_OUTCOME, false],
  [0.0185, "TOKENS_REVOKED", INTENT_AND_OUTCOME, true],
  [0.001, "IDENTITY_SUSPENDED", INTENT_AND_OUTCOME, true],
  [0.0005, "IDENTITY_DELETED", INTENT_AND_OUTCOME, true],
];

export type Random = () => number;

/** Mulberry32: 0 ≤ x < 1, the same for the same seed. */
export function seeded(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function below(limit: number, random: Random): number {
  return Math.floor(limit * random());
}

/** ms since 1970 */
export function timeOf(number: number): number {
  return BEGIN + number * INTERVAL_MS;
}

/** A user of a trail of so many records. */
export function someUser(records: number, random: Random): number {
  return below(Math.max(1, Math.ceil(records / RECORDS_PER_USER)), random);
}

export function identityOf(user: number): string {
  return `idn_${digest(`identity ${user}`).slice(0, 22)}`;
}

export function actorOf(user: number): ApplicationUser {
  return { issuer: "https://login.example.com/tenant/v2.0", subject: digest(`subject ${user}`).slice(0, 36) };
}

export function someFingerprint(user: number, random: Random): string {
  return digest(`token ${below(TOKENS_PER_USER, random)} of ${user}`);
}

/** Of the writers at work when this record is written, the one that this slot is for. */
function writerOf(number: number, slot: number): string {
  return digest(`writer ${slot} of ${Math.floor(number / PERIOD)}`).slice(0, 22);
}

/** The id of a record that there is. */
export function someId(records: number, random: Random): { writer: string; sequence: number } {
  const number = below(records, random);
  const inPeriod = Math.min(PERIOD, records - Math.floor(number / PERIOD) * PERIOD);
  // Each writer has about a quarter of them.
  const sequence = 1 + below(Math.max(1, (inPeriod / WRITERS) * 0.9), random);
  return { writer: writerOf(number, below(WRITERS, random)), sequence };
}

/** `endOf` is where a writer's chain has got to in the database. */
export class Writers<Database> {
  readonly #ends = new Map<string, ChainEnd>();

  constructor(
    private readonly total: number,
    private readonly endOf: (database: Database, writer: string) => Promise<ChainEnd | undefined>,
  ) {}

  /** The records from this number on, as many as asked for. */
  async next(database: Database, begin: number, count: number): Promise<AuditRecord[]> {
    const random = seeded(begin);
    const happening = happenings(this.total, random);
    const records: AuditRecord[] = [];
    for (let number = begin; number < begin + count; number++) {
      const { value: event } = happening.next();
      const writer = writerOf(number, below(WRITERS, random));
      const end = this.#ends.get(writer) ?? (await this.#begin(database, writer));
      const record = chain(end, event, Math.floor(timeOf(number)), someBytes);
      this.#ends.set(writer, { writer, sequence: record.sequence, hash: record.hash, at: record.at });
      records.push(record);
    }
    return records;
  }

  async #begin(database: Database, writer: string): Promise<ChainEnd> {
    // Those of the period before write no more.
    if (this.#ends.size >= 2 * WRITERS) this.#ends.clear();
    return (await this.endOf(database, writer)) ?? { writer, sequence: 0, hash: GENESIS, at: 0 };
  }
}

function* happenings(total: number, random: Random): Generator<AuditEvent, never> {
  for (;;) {
    const [action, phases, byOperator] = someHappening(random);
    const user = someUser(total, random);
    const token = action === "TOKEN_ISSUED" || action === "TOKEN_REUSED" ? someFingerprint(user, random) : null;
    const requestId = digest(`request ${random()}`).slice(0, 22);
    for (const phase of phases) {
      yield {
        action,
        phase,
        identityId: identityOf(user),
        actor: byOperator ? { ...actorOf(user), subject: `operator-${below(5, random)}` } : actorOf(user),
        scopes: byOperator ? null : ["CHAT", "VOIP"],
        tokenFingerprint: phase === "OUTCOME" ? token : null,
        tokenExpiresOn: phase === "OUTCOME" && token !== null ? BEGIN : null,
        reason: byOperator ? "left the company" : action === "TOKEN_REFUSED" ? "RATE_LIMITED" : null,
        requestId,
        clientName: "ios",
        clientVersion: "4.2.1",
      };
    }
  }
}

function someHappening(random: Random) {
  let left = random();
  for (const [weight, ...happening] of HAPPENINGS) {
    left -= weight;
    if (left < 0) return happening;
  }
  return ["TOKEN_REUSED", OUTCOME, false] as const;
}

const someBytes = pooled(randomBytes);

function digest(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}
