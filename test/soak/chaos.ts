import { setTimeout } from "node:timers/promises";
import { type Absence, type Journal, now, type Spell } from "./journal.js";
import type { FaultKind, PlannedFault } from "./schedule.js";
import type { Stage } from "./stage.js";

/** Of the service, so many calls are told before a spell is over. */
const MANY = 100_000;
const ALL = "*";

/** Breaks what the schedule says, one after the other, and mends it. */
export class Chaos {
  done = 0;

  constructor(
    private readonly stage: Stage,
    private readonly journal: Journal,
    private readonly say: (line: string) => void,
  ) {}

  /** Until all is done or the signal is given; what is broken then is mended. */
  async follow(schedule: readonly PlannedFault[], signal: AbortSignal): Promise<void> {
    for (const fault of schedule) {
      await setTimeout(fault.quietMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      const spell: Spell = { kind: fault.kind, from: now(), until: Number.POSITIVE_INFINITY };
      this.journal.spells.push(spell);
      await this.#break(fault, signal);
      spell.until = now();
      this.say(`${fault.kind}: ${this.journal.since(spell.from)} to ${this.journal.since(spell.until)}`);
      this.done += 1;
    }
  }

  async #break({ kind, lastsMs, target }: PlannedFault, signal: AbortSignal): Promise<void> {
    const lasting = () => setTimeout(lastsMs, undefined, { signal }).catch(() => {});
    const { stage } = this;
    const breaks: Readonly<Record<FaultKind, () => Promise<void>>> = {
      "Redis killed": async () => {
        await stage.redis.stop("SIGKILL");
        await lasting();
        await stage.redis.start();
      },
      "Redis restarted": async () => {
        await stage.redis.stop("SIGTERM");
        await lasting();
        await stage.redis.start();
      },
      "Redis frozen": async () => {
        stage.redis.signal("SIGSTOP");
        await lasting();
        stage.redis.signal("SIGCONT");
      },
      "Postgres stopped at once": async () => {
        await stage.postgres.stop("immediate");
        await lasting();
        await stage.postgres.start();
      },
      "Postgres stopped in order": async () => {
        await stage.postgres.stop("fast");
        await lasting();
        await stage.postgres.start();
      },
      "service killed": async () => {
        await stage.stopService();
        await lasting();
        await stage.startService();
      },
      "service slow": () => this.#fail({ kind: "delay", delayMs: 500 + Math.round(target * 2_500) }, lasting),
      "service paces (429)": () => this.#fail({ kind: "status", status: 429, retryAfterSeconds: 2 }, lasting),
      "service fails (5xx)": () =>
        this.#fail(target < 0.5 ? { kind: "html503" } : { kind: "status", status: 500 }, lasting),
      "service cuts connections": () => this.#fail({ kind: "commitThenDrop" }, lasting),
      "gateways stopped one by one": async () => {
        for (let instance = 1; instance < stage.instances.length; instance++) {
          await this.#restart(instance, "SIGTERM", lasting);
          await stage.ready(instance);
        }
      },
      "gateway killed": () => this.#restart(1 + Math.floor(target * (stage.instances.length - 1)), "SIGKILL", lasting),
      "issuer changes its key": () => stage.issuer.rotate(signal).catch(() => {}),
      "issuer refuses": () => this.#silenceIssuer("refuses", lasting),
      "issuer hangs": () => this.#silenceIssuer("hangs", lasting),
    };
    await breaks[kind]();
  }

  async #fail(fault: object, lasting: () => Promise<void>): Promise<void> {
    await this.stage.control("POST", "/faults", { operation: ALL, times: MANY, ...fault });
    await lasting();
    await this.stage.control("DELETE", "/faults");
  }

  async #silenceIssuer(how: "refuses" | "hangs", lasting: () => Promise<void>): Promise<void> {
    this.stage.issuer.outage(how);
    await lasting();
    this.stage.issuer.outage("none");
  }

  async #restart(instance: number, signal: Absence["signal"], lasting: () => Promise<void>): Promise<void> {
    const absence: Absence = { instance, signal, from: now(), until: Number.POSITIVE_INFINITY };
    this.journal.absences.push(absence);
    await this.stage.stopInstance(instance, signal);
    await lasting();
    await this.stage.startInstance(instance);
    absence.until = now();
  }
}
