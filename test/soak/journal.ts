/**
 * What a run has seen: every try of a good caller, what was broken when, and what should not have been. Whoever sends writes
 * here; the report and the invariants read.
 */
import { setTimeout } from "node:timers/promises";
import type { Downtime, Entry } from "../faults/history.js";
import type { FaultKind } from "./schedule.js";

/** ms since 1970, by the clock of the machine: the one that all processes here have. */
export const now = () => Date.now();

export interface Spell {
  readonly kind: FaultKind;
  readonly from: number;
  /** Infinite while it goes on. */
  until: number;
  /** When, after its end, a good caller was last told that something is not as it should be. */
  lastTrouble?: number;
}

/** An instance that was away, from the signal until it listened again. */
export interface Absence extends Downtime {
  readonly signal: "SIGTERM" | "SIGKILL";
}

/** When the run itself was not let run, and so took no answer: what a busy machine does to a client. */
export interface Stall {
  readonly from: number;
  readonly until: number;
}

interface Finding {
  readonly sort: "lost" | "wrong";
  readonly at: number;
  readonly what: string;
}

const LOOK_EVERY_MS = 100;
/** As long as this is noted. */
const STALL_MS = 500;
/** Beyond it they are counted only. */
const KEPT_FINDINGS = 200;
/** Of answer times, from which quantiles are read. */
const KEPT_TIMES = 200_000;

export class Journal {
  readonly began = now();
  readonly entries: Entry[] = [];
  readonly spells: Spell[] = [];
  readonly absences: Absence[] = [];
  readonly stalls: Stall[] = [];
  readonly findings: Finding[] = [];
  /** By what they count. */
  readonly counts = new Map<string, number>();
  /** Of good callers in calm times, in ms. */
  readonly answerTimes: number[] = [];
  readonly totals = { lost: 0, wrong: 0 };

  /** `say`: told of each finding as it is made. */
  constructor(private readonly say: (line: string) => void = () => {}) {}

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }

  /** A request that got no answer. */
  lost(what: string): void {
    this.#find("lost", what);
  }

  /** An answer, or something else that was seen, which must not be. */
  wrong(what: string): void {
    this.#find("wrong", what);
  }

  /** Looks whether this process is let run, until the signal is given. */
  async watchItself(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const from = now();
      await setTimeout(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
      const until = now();
      if (until - from > LOOK_EVERY_MS + STALL_MS) this.stalls.push({ from, until });
    }
  }

  noteTime(milliseconds: number): void {
    if (this.answerTimes.length < KEPT_TIMES) this.answerTimes.push(milliseconds);
  }

  /** A good caller was told of trouble in an answer that came at this time. */
  noteTrouble(at: number): void {
    const last = this.spells.findLast(({ from }) => from <= at);
    if (last && last.until < at) last.lastTrouble = at;
  }

  /** Seconds since the run began, for people. */
  since(at: number): string {
    return `${((at - this.began) / 1000).toFixed(1)} s`;
  }

  #find(sort: Finding["sort"], what: string): void {
    this.totals[sort] += 1;
    if (this.findings.length >= KEPT_FINDINGS) return;
    this.findings.push({ sort, at: now(), what });
    this.say(`${sort}: ${what}`);
  }
}
