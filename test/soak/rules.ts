/**
 * What an answer may be: the oracle. It knows the contract and what was broken when, and nothing of how the gateway works.
 *
 * A time is calm when nothing has been broken for RECOVERY_MS. A good caller gets in calm times what they ask for; in others
 * they may be told one of the errors that fit what is broken, with the time to wait. A connection breaks under nobody but who
 * talked to a process that was killed, or that was told to stop before it had the request. Where the machine does not let the run
 * itself run for a while, others were late, too: time-outs are then told apart from wrong answers, and counted.
 */
import type { Exchange } from "./exchange.js";
import type { Absence, Spell, Stall } from "./journal.js";
import { type CallerKind, FAULTS } from "./schedule.js";

/** Stated: so long after a fault has ended, the gateway answers as if there had been none. */
export const RECOVERY_MS = 15_000;
/** Stated: a good request, repeated as its errors say, is answered within this, whatever is broken. */
export const ANSWERED_WITHIN_MS = 60_000;
/** A request that was sent this long before a stop has been taken; one that was sent later may find the door shut. */
const TAKEN_MS = 250;
/** `server.clientTimeoutSeconds`, less what a look at slow clients may come early by: who takes an answer later is cut off. */
const CLIENT_TIMEOUT_MS = 9_000;
/** For pauses where an error names none. */
const USUAL_PAUSE_MS = 1_000;

export interface Circumstances {
  readonly spells: readonly Spell[];
  readonly absences: readonly Absence[];
  readonly stalls: readonly Stall[];
}

type Verdict =
  | { readonly kind: "answered" }
  | { readonly kind: "again"; readonly afterMs: number; readonly told: string }
  | { readonly kind: "lost" | "wrong"; readonly why: string };

export function judgeGood(exchange: Exchange, around: Circumstances, caller: CallerKind): Verdict {
  switch (exchange.outcome) {
    case "answered":
      return judgeAnswer(exchange, around, caller);
    case "cut":
      return judgeCut(exchange, around);
    case "unanswered":
      return { kind: "lost", why: "no answer in any time that the gateway may take" };
    case "refused":
      return { kind: "wrong", why: "no instance listens, though one was never stopped" };
    case "aborted":
      return { kind: "answered" };
  }
}

function judgeAnswer(exchange: Exchange, around: Circumstances, caller: CallerKind): Verdict {
  const { status, headers, body } = exchange;
  if (status === 200 && body?.errors === undefined && body?.data) return { kind: "answered" };
  const { code, retryable, retryAfterSeconds } = body?.errors?.[0]?.extensions ?? {};
  // A part of the answer may be there all the same, and null where it says so (GraphQL specification §6.4.4).
  const isPart = status === 200 && body?.data;
  const told = `${code ?? "no code"} ${isPart ? statusOf(code) : status}`;
  const isFitting = allowedCodes(exchange, around, caller).has(told);
  if (!isFitting && !(isStarved(exchange, around) && BUSY.has(told))) {
    return { kind: "wrong", why: `${told}: ${body?.errors?.[0]?.message ?? "no message"}` };
  }
  const seconds = Number(headers?.["retry-after"] ?? Number.NaN);
  if (retryable !== true) return { kind: "wrong", why: `${told} is not said to be retryable` };
  if (status === 503 && !(seconds >= 1)) return { kind: "wrong", why: `${told} without Retry-After` };
  const afterMs = (retryAfterSeconds ?? 0) * 1000 || USUAL_PAUSE_MS;
  return { kind: "again", afterMs, told: isFitting ? told : `${told}, while the machine was too busy` };
}

/** What time-outs say. */
const BUSY = new Set([
  "STORE_UNAVAILABLE 503",
  "AUDIT_UNAVAILABLE 503",
  "UPSTREAM_UNAVAILABLE 503",
  "DEADLINE_EXCEEDED 504",
]);
/** Whoever else runs on the machine has to wait about then, too. */
const ABOUT_MS = 1_500;

/** Whether the machine did not let the run itself run about that time, so that anything else may have been late. */
function isStarved(
  { start, end }: Pick<Exchange, "start" | "end">,
  { stalls }: Pick<Circumstances, "stalls">,
): boolean {
  return stalls.some(({ from, until }) => from - ABOUT_MS <= end && start <= until + ABOUT_MS);
}

function judgeCut(exchange: Exchange, { absences, stalls }: Circumstances): Verdict {
  const { instance, start, end } = exchange;
  const late = stalls.filter(({ from, until }) => from <= end && start <= until);
  const lateMs = late.reduce((sum, { from, until }) => sum + Math.min(until, end) - Math.max(from, start), 0);
  if (end - start >= CLIENT_TIMEOUT_MS && lateMs >= CLIENT_TIMEOUT_MS / 3) {
    return { kind: "again", afterMs: USUAL_PAUSE_MS, told: "cut, as the run itself was too slow" };
  }
  const own = absences.filter(
    (absence) => absence.instance === instance && absence.from <= end && start <= absence.until,
  );
  if (own.length === 0)
    return { kind: "wrong", why: `a connection was cut, by nobody who was killed (${exchange.why})` };
  const isTaken = own.every(({ signal, from }) => signal === "SIGTERM" && start < from - TAKEN_MS);
  if (isTaken && !isStarved(exchange, { stalls })) {
    return { kind: "lost", why: `a request that was taken before a stop was cut (${exchange.why})` };
  }
  return { kind: "again", afterMs: USUAL_PAUSE_MS / 10, told: "cut" };
}

/** Whether anybody may be told so, such as "STORE_UNAVAILABLE 503", by what is broken or starved. */
export function mayBeTold(exchange: Exchange, code: string, around: Circumstances): boolean {
  return allowedCodes(exchange, around, "any").has(code) || (isStarved(exchange, around) && BUSY.has(code));
}

function allowedCodes(
  { start, end }: Pick<Exchange, "start" | "end">,
  { spells }: Pick<Circumstances, "spells">,
  caller: CallerKind | "any",
): Set<string> {
  const around = spells.filter(({ from, until }) => from <= end && start <= until + RECOVERY_MS);
  const codes = around.flatMap(({ kind }) => {
    const { allows, to = caller }: { allows: readonly string[]; to?: CallerKind | "any" } = FAULTS[kind];
    return caller === "any" || to === caller ? allows : [];
  });
  return new Set(codes.map((code) => `${code} ${statusOf(code)}`));
}

function statusOf(code: string | undefined): number {
  return code === "DEADLINE_EXCEEDED" ? 504 : 503;
}

/** Whether nothing is broken, nor was a little before. */
export function isCalm({ spells, absences, stalls }: Circumstances, from: number, to = from): boolean {
  const near = (one: { from: number; until: number }) => one.from <= to && from <= one.until + RECOVERY_MS;
  return !spells.some(near) && !absences.some(near) && !stalls.some(near);
}

interface Attack {
  /** HTTP statuses that may be its answer. */
  readonly expects: readonly number[];
  /** The connection may be ended in place of an answer. */
  readonly mayBeCut?: boolean;
}

/** A JWT, such as no hostile caller may ever be given. */
const JWT = /eyJ[\w-]+\.[\w-]+\.[\w-]+/;

/** What is wrong with the answer to somebody who must not get anything; undefined when nothing is. */
export function judgeHostile(exchange: Exchange, attack: Attack, around: Circumstances): string | undefined {
  const { outcome, status = 0, text = "", body } = exchange;
  if (outcome === "aborted" || outcome === "refused") return undefined;
  if (outcome === "unanswered") return "no answer in any time that the gateway may take";
  if (outcome === "cut") {
    const verdict = attack.mayBeCut ? { kind: "answered" as const } : judgeCut(exchange, around);
    return "why" in verdict ? verdict.why : undefined;
  }
  if (JWT.test(text)) return "a token was given away";
  if (Object.values(body?.data ?? {}).some((value) => value !== null))
    return `data was given away: ${text.slice(0, 200)}`;
  const code = `${body?.errors?.[0]?.extensions?.code} ${status}`;
  // Whoever has spent what their address may, or comes while something is broken, is told that in place of their fault.
  if (attack.expects.includes(status) || code === "RATE_LIMITED 429") return undefined;
  return mayBeTold(exchange, code, around) ? undefined : `answered ${code}, not ${attack.expects.join(" or ")}`;
}
