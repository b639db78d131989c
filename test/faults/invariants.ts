/**
 * What must be true of every history, whatever was killed and whatever failed. Nothing here knows the schedule.
 *
 * A caller sees when a request was sent and when its answer was there, never when it took effect. So a rule compares two
 * requests only where one had ended before the other began, and holds for each such pair.
 */
import type { AuditRecord } from "../../src/audit/record.js";
import type { Identity } from "../../src/identities/identity.js";
import type { Store } from "../../src/store/store.js";
import { faultIn } from "../fixtures/trail.js";
import type { Downtime, Entry } from "./history.js";

export interface Violation {
  readonly invariant: string;
  readonly entries: readonly Entry[];
}

/** How things stand when the faults are over, the work is done and no process runs. */
export interface FinalState {
  readonly rows: readonly Identity[];
  readonly attemptsInDoubt: number;
  readonly pendingWork: number;
  /** Ids of identities that the service has. */
  readonly liveAtService: ReadonlySet<string>;
  /** Whether the service still takes the token. */
  readonly isActive: (token: string) => Promise<boolean>;
  /** By writer. */
  readonly trail: readonly (readonly AuditRecord[])[];
  readonly fingerprint: (token: string) => string;
}

/** What the store has to say of it. */
export async function storedState(store: Store): Promise<Pick<FinalState, "rows" | "attemptsInDoubt" | "pendingWork">> {
  return {
    rows: await store.identities.page({
      filter: {},
      order: { field: "CREATED_AT", direction: "ASC" },
      limit: 1_000_000,
      backward: false,
    }),
    // Whatever still has a lease belongs to a process that is no more.
    attemptsInDoubt: await store.attempts.countInDoubt(Number.MAX_SAFE_INTEGER),
    pendingWork: await store.work.count(),
  };
}

type TokenEntry = Entry & Required<Pick<Entry, "token" | "identityId">>;
type RevocationEntry = Entry & Required<Pick<Entry, "identityId">>;

/** Of a gateway whose service is out of order. Its own store and the issuer are never touched, but a busy machine may be late. */
const STATED_FAILURES = new Set([
  "UPSTREAM_UNAVAILABLE 503",
  "DEADLINE_EXCEEDED 504",
  "STORE_UNAVAILABLE 503",
  "AUDIT_UNAVAILABLE 503",
]);
export const STATED_REFUSALS: ReadonlySet<string | undefined> = new Set([
  "REVOCATION_PENDING",
  "IDENTITY_SUSPENDED",
  "IDENTITY_DELETING",
  "IDENTITY_NOT_FOUND",
]);

export function checkAnswers(history: readonly Entry[], downtimes: readonly Downtime[]): Violation[] {
  const wasDown = ({ instance, start, end }: Entry) =>
    downtimes.some((down) => down.instance === instance && down.from <= end && start <= down.until);
  return history.flatMap((entry) => {
    const { outcome, status, code } = entry;
    const violated = (invariant: string) => [{ invariant, entries: [entry] }];
    if (outcome === "failed" && !STATED_FAILURES.has(`${code} ${status}`)) return violated("only stated errors");
    if (outcome === "refused" && !STATED_REFUSALS.has(code)) return violated("only refusals that fit");
    if (outcome === "unanswered") return violated("every request is answered in time");
    if (outcome === "cut" && !wasDown(entry)) return violated("only a process killed or frozen drops a connection");
    return [];
  });
}

export function checkMappings(history: readonly Entry[], { rows }: Pick<FinalState, "rows">): Violation[] {
  const tokens = history.filter(hasToken);
  const violations: Violation[] = [];
  for (const entry of tokens) {
    if (entry.token.communicationUserId === entry.communicationUserId) continue;
    violations.push({ invariant: "a token is for the identity that the answer names", entries: [entry] });
  }
  const told = history.filter(({ communicationUserId }) => communicationUserId);
  for (const same of groupBy(told, ({ communicationUserId }) => String(communicationUserId)).values()) {
    const strangers = same.filter((entry) => entry.subject !== same[0]?.subject);
    if (strangers.length === 0) continue;
    violations.push({
      invariant: "an identity of the service is of one subject",
      entries: [...same.slice(0, 1), ...strangers],
    });
  }
  for (const same of groupBy(told, ({ identityId }) => String(identityId)).values()) {
    const others = same.filter((entry) => entry.communicationUserId !== same[0]?.communicationUserId);
    if (others.length === 0) continue;
    violations.push({ invariant: "a mapping keeps its identity", entries: [...same.slice(0, 1), ...others] });
  }
  for (const [subject, own] of groupBy(tokens, ({ subject }) => subject)) {
    const deletions = history.filter(
      (entry) => entry.subject === subject && entry.action === "delete" && entry.outcome !== "refused",
    );
    violations.push(...checkLives(own, deletions));
  }
  return [...violations, ...checkRows(rows)];
}

/** A subject has one mapping after the other, and no other before somebody has asked to delete the one before. */
function checkLives(tokens: readonly TokenEntry[], deletions: readonly Entry[]): Violation[] {
  const lives = [...groupBy(tokens, ({ identityId }) => identityId).values()];
  const mayPrecede = (one: readonly Entry[], other: readonly Entry[]) => last(one).start <= first(other).end;
  const violations: Violation[] = [];
  lives.forEach((one, index) => {
    for (const other of lives.slice(index + 1)) {
      if (!mayPrecede(one, other) && !mayPrecede(other, one)) {
        const entries = [first(one), last(one), first(other), last(other)];
        violations.push({ invariant: "a subject has one mapping at a time", entries });
      }
    }
  });
  const began = lives.map(first).sort((one, other) => one.end - other.end);
  began.forEach((entry, index) => {
    const asked = deletions.filter(({ start }) => start < entry.end).length;
    if (asked >= index) return;
    violations.push({ invariant: "a mapping ends by deletion only", entries: began.slice(0, index + 1) });
  });
  return violations;
}

function checkRows(rows: readonly Identity[]): Violation[] {
  const live = rows.filter(({ user }) => user !== null);
  const duplicates = (keys: readonly string[]) => keys.filter((key, index) => keys.indexOf(key) !== index);
  const users = duplicates(live.map(({ user }) => JSON.stringify(user)));
  const ids = duplicates(live.flatMap(({ communicationUserId }) => communicationUserId ?? []));
  return [
    ...users.map((user) => ({ invariant: `one row for a user, two for ${user}`, entries: [] })),
    ...ids.map((id) => ({ invariant: `one row for an identity, two for ${id}`, entries: [] })),
  ];
}

/**
 * No token that was issued before a revocation, suspension or deletion is handed out to who asks after it has been answered.
 *
 * When a token was issued, its expiry tells; under which count of revocations, the service's own claim in it. The count is
 * looked at rather than whether the service still takes the token: a try of a revocation that timed out can arrive at the
 * service late and take newer tokens with it, which no gateway can know. The count only ever rises.
 */
export function checkTokens(history: readonly Entry[]): Violation[] {
  const tokensOf = groupBy(history.filter(hasToken), ({ identityId }) => identityId);
  const reinstatements = history.filter(({ action, outcome }) => action === "reinstate" && outcome !== "refused");
  return history.filter(isRevocation).flatMap((revocation) => {
    const tokens = tokensOf.get(revocation.identityId) ?? [];
    const after = tokens.filter(({ start }) => start > revocation.end);
    const before = tokens.filter((entry) => isMintedBefore(entry, revocation));
    const revoked = Math.max(-1, ...before.map(({ token }) => token.generation));
    const violations = after
      .filter((entry) => isMintedBefore(entry, revocation) || entry.token.generation <= revoked)
      .map((entry) => ({ invariant: "no token from before a revocation after it", entries: [revocation, entry] }));
    if (revocation.stillTaken) {
      violations.push({ invariant: "a revocation said to be done is done", entries: [revocation] });
    }
    const explained = (entry: Entry) =>
      revocation.action === "suspend" &&
      reinstatements.some(
        (other) =>
          other.identityId === revocation.identityId && other.start < entry.end && endOf(other) > revocation.start,
      );
    if (revocation.action === "revoke") return violations;
    const unexplained = after.filter((entry) => !explained(entry));
    return [
      ...violations,
      ...unexplained.map((entry) => ({
        invariant: revocation.action === "suspend" ? "no token while suspended" : "no token once deleted",
        entries: [revocation, entry],
      })),
    ];
  });
}

/** Every identity of the service has a row or an attempt in doubt, and every row the identity that it says. */
export function checkService(state: FinalState): Violation[] {
  const { rows, attemptsInDoubt, liveAtService } = state;
  const mapped = rows.flatMap(({ communicationUserId }) => communicationUserId ?? []);
  const dead = mapped.filter((id) => !liveAtService.has(id));
  const unmapped = liveAtService.size - (mapped.length - dead.length);
  return [
    ...dead.map((id) => ({ invariant: `no row points to a dead identity, one does to ${id}`, entries: [] })),
    ...(unmapped > attemptsInDoubt
      ? [
          {
            invariant: `each identity without a row has an attempt in doubt: ${unmapped} have no row, ${attemptsInDoubt} are in doubt`,
            entries: [],
          },
        ]
      : []),
  ];
}

/** The trail is whole, and has each time that a token was handed out, and each revocation that was answered with success. */
export function checkTrail(
  history: readonly Entry[],
  { trail, fingerprint }: Pick<FinalState, "trail" | "fingerprint">,
): Violation[] {
  const outcomes = trail.flat().filter(({ phase }) => phase === "OUTCOME");
  const handedOut = countBy(outcomes, ({ tokenFingerprint }) => String(tokenFingerprint));
  const changes = countBy(outcomes, ({ action, identityId }) => `${action} ${identityId}`);
  const tokens = groupBy(history.filter(hasToken), ({ token }) => fingerprint(token.text));
  const revocations = history.filter((entry) => entry.action === "revoke" && isRevocation(entry));
  const revoked = groupBy(revocations, ({ identityId }) => `TOKENS_REVOKED ${identityId}`);
  const unrecorded = (told: ReadonlyMap<string, readonly Entry[]>, recorded: ReadonlyMap<string, number>) =>
    [...told].filter(([key, entries]) => (recorded.get(key) ?? 0) < entries.length).map(([, entries]) => entries);
  return [
    ...trail
      .flatMap((records) => faultIn(records) ?? [])
      .map((fault) => ({ invariant: `a whole trail, not ${fault}`, entries: [] })),
    ...unrecorded(tokens, handedOut).map((entries) => ({ invariant: "no token leaves without a record", entries })),
    ...unrecorded(revoked, changes).map((entries) => ({ invariant: "no revocation without a record", entries })),
  ];
}

function countBy<Value>(values: readonly Value[], keyOf: (value: Value) => string): Map<string, number> {
  return new Map([...groupBy(values, keyOf)].map(([key, same]) => [key, same.length]));
}

/** What was answered with success has been carried out at the service. */
export async function checkWork(history: readonly Entry[], state: FinalState): Promise<Violation[]> {
  const { rows, pendingWork, isActive } = state;
  const violations: Violation[] = [];
  if (pendingWork > 0) violations.push({ invariant: `accepted work is done, ${pendingWork} are not`, entries: [] });
  for (const { id, status, revocationPending } of rows) {
    if (!revocationPending && status !== "DELETING") continue;
    violations.push({ invariant: `accepted work is done, ${id} is ${status} and waits`, entries: [] });
  }
  const tokensOf = groupBy(history.filter(hasToken), ({ identityId }) => identityId);
  const revocations = groupBy(history.filter(isRevocation), ({ identityId }) => identityId);
  for (const [identityId, revoked] of revocations) {
    const newest = revoked.reduce((one, other) => (other.start > one.start ? other : one));
    for (const entry of tokensOf.get(identityId) ?? []) {
      if (!isMintedBefore(entry, newest) || !(await isActive(entry.token.text))) continue;
      violations.push({ invariant: "a revoked token is dead at the service", entries: [entry, newest] });
    }
  }
  return violations;
}

function hasToken(entry: Entry): entry is TokenEntry {
  return entry.token !== undefined && entry.identityId !== undefined;
}

function isRevocation(entry: Entry): entry is RevocationEntry {
  const { action, outcome, identityId } = entry;
  return outcome === "done" && identityId !== undefined && ["revoke", "suspend", "delete"].includes(action);
}

/** The service's clock shows whole milliseconds, rounded down. */
function isMintedBefore({ token }: TokenEntry, { start }: Entry): boolean {
  return token.mintedAt + 1 <= start;
}

/** What a killed process had sent to its database may still arrive there. */
const STRAGGLING_MS = 1000;

function endOf({ outcome, end }: Entry): number {
  return outcome === "done" ? end : end + STRAGGLING_MS;
}

/** The one whose answer was there first. */
function first<Each extends Entry>(entries: readonly Each[]): Each {
  return entries.reduce((one, other) => (other.end < one.end ? other : one));
}

/** The one that was sent last. */
function last<Each extends Entry>(entries: readonly Each[]): Each {
  return entries.reduce((one, other) => (other.start > one.start ? other : one));
}

function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}
