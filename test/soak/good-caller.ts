import { setTimeout } from "node:timers/promises";
import type { Balancer, Sent } from "./balancer.js";
import type { Body, Exchange } from "./exchange.js";
import { type Journal, now } from "./journal.js";
import { ANSWERED_WITHIN_MS, isCalm, judgeGood } from "./rules.js";
import type { CallerKind } from "./schedule.js";

export interface Wish {
  /** For the report: what is asked for. */
  readonly what: string;
  readonly subject: string;
  /** Made anew for each try: a proof of possession is good for one. */
  readonly send: () => Promise<Sent>;
  readonly by?: CallerKind;
  /** Told of each try, also of those that are repeated. */
  readonly onTry?: (exchange: Exchange) => void;
}

/** Asks as a well-behaved client does: again after the time that it is told, until it is answered or nobody could wait longer. */
export class GoodCaller {
  constructor(
    private readonly balancer: Balancer,
    private readonly journal: Journal,
  ) {}

  /** The answer without errors; undefined when there was none that was allowed, which is written down. */
  async ask(wish: Wish): Promise<Body | undefined> {
    const first = now();
    for (let tries = 1; ; tries++) {
      const exchange = await this.balancer.send(await wish.send());
      wish.onTry?.(exchange);
      const afterMs = this.#judge(wish, exchange);
      if (afterMs === "given up") return undefined;
      if (now() - first > ANSWERED_WITHIN_MS) {
        this.journal.lost(
          `${wish.what} of ${wish.subject}: no answer in time in ${tries} tries since ${this.journal.since(first)}`,
        );
        return undefined;
      }
      if (afterMs === "answered") return exchange.body;
      // Clients that were told of one time do not all come at it.
      await setTimeout(afterMs * (1 + Math.random() * 0.2));
    }
  }

  /** Writes down what came; after how many milliseconds to try again, if so. */
  #judge({ what, subject, by = "ordinary" }: Wish, exchange: Exchange): number | "answered" | "given up" {
    const { journal } = this;
    const { start, end, instance } = exchange;
    journal.count(`good: ${what}`);
    const verdict = judgeGood(exchange, journal, by);
    switch (verdict.kind) {
      case "answered":
        journal.count("good callers answered");
        if (isCalm(journal, start, end)) journal.noteTime(end - start);
        return "answered";
      case "again":
        journal.count(`good callers told to come again: ${verdict.told}`);
        if (verdict.told !== "cut") journal.noteTrouble(end);
        return verdict.afterMs;
      default: {
        const id = exchange.headers?.["x-request-id"] ?? "no request id";
        const when = `${journal.since(start)} to ${journal.since(end)}`;
        journal[verdict.kind](`${what} of ${subject} at #${instance}, ${when}: ${verdict.why} (${id})`);
        return "given up";
      }
    }
  }
}
