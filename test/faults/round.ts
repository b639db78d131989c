/**
 * One round of faults: callers ask for everything at once, while processes are killed and the service fails; then the faults
 * end, what was accepted is waited for, and the recorded history is held against the invariants.
 *
 * The seed decides who asks for what, what fails and who is killed when. It does not decide how the machine runs it all, so
 * a seed that fails may need more than one try to fail again.
 */
import { setTimeout } from "node:timers/promises";
import { Callers, type Order } from "./callers.js";
import { Cluster, type Servers } from "./cluster.js";
import { clock, type Downtime, type Entry, show } from "./history.js";
import {
  checkAnswers,
  checkMappings,
  checkService,
  checkTokens,
  checkTrail,
  checkWork,
  type FinalState,
  storedState,
  type Violation,
} from "./invariants.js";
import { Chance } from "./random.js";

export interface RoundOptions {
  readonly seed: number;
  /** How many processes, on Postgres and Redis; without servers one, on SQLite. */
  readonly instances: number;
  readonly servers?: Servers | undefined;
  /** How long faults happen. */
  readonly seconds: number;
  /** Also stops processes for longer than a lease lasts, and lets them go on. */
  readonly freezes: boolean;
  /** Told now and then how it goes. */
  readonly report?: (progress: string) => void;
}

export interface RoundResult {
  /** One text for each violation, with the lines of the history that show it. */
  readonly violations: readonly string[];
  readonly summary: string;
}

const SERVICE_TIMEOUT_SECONDS = 1;
const REQUEST_TIMEOUT_SECONDS = 10;
/** The request's own time, what a mutation waits for the service, a freeze, and a busy machine. */
const PATIENCE_MS = 45_000;
/** Longer than a lease, which is the service's time-out and 5 s. */
const FREEZE_MS: readonly [number, number] = [6_500, 8_000];
/** Longer than the service's time-out: takes effect when nobody waits for it any more. */
const LATE_MS: readonly [number, number] = [1_100, 2_500];
const DRAIN_MS = 150_000;
const SUBJECTS = 24;
const CALLERS = 10;
const SCOPES = [["CHAT"], ["VOIP"], ["CHAT", "VOIP"]] as const;
const AWAY_PAUSE_MS = 20;
/** How long a process is left in peace at most, alone or one of many: starting one takes a small machine a second. */
const ONE_LIVES_MS = 4_000;
const MANY_LIVE_MS = 8_000;
const REPORT_MS = 5_000;

export async function runRound(options: RoundOptions): Promise<RoundResult> {
  const cluster = await Cluster.start({
    instances: options.servers ? options.instances : 1,
    servers: options.servers,
    serviceTimeoutSeconds: SERVICE_TIMEOUT_SECONDS,
    requestTimeoutSeconds: REQUEST_TIMEOUT_SECONDS,
  });
  try {
    return await new Round(cluster, options).run();
  } finally {
    await cluster.close();
  }
}

class Round {
  readonly #callers: Callers;
  readonly #downtimes: Downtime[] = [];
  readonly #began = clock();
  #faults = 0;
  #freezes = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly options: RoundOptions,
  ) {
    this.#callers = new Callers(cluster, PATIENCE_MS);
  }

  async run(): Promise<RoundResult> {
    const instances = Array.from({ length: this.cluster.size }, (_, instance) => instance);
    const callers = Array.from({ length: CALLERS }, (_, caller) => caller);
    await Promise.all([
      ...callers.map((caller) => this.#call(this.#chance(`caller ${caller}`))),
      ...instances.map((instance) => this.#disturb(instance, this.#chance(`instance ${instance}`))),
      this.#fail(this.#chance("service")),
      this.#report(),
    ]);
    await this.cluster.control("DELETE", "/faults");
    // What the service does late has been done.
    await setTimeout(LATE_MS[1]);
    const drained = await this.#drain();
    const stuck = await this.#askOnceMore();
    const exits = await this.cluster.stopAll();
    const violations = [...(await this.#judge()), ...drained, ...stuck];
    if (exits.some((exit) => exit !== 0)) {
      violations.push({ invariant: `SIGTERM ends with 0, not with ${exits.join(", ")}`, entries: [] });
    }
    return { violations: violations.map((violation) => this.#describe(violation)), summary: this.#summary() };
  }

  #chance(name: string): Chance {
    return Chance.named(this.options.seed, name);
  }

  get #isOver(): boolean {
    return clock() - this.#began > this.options.seconds * 1000;
  }

  async #call(chance: Chance): Promise<void> {
    while (!this.#isOver) {
      const order = this.#nextOrder(chance);
      const pause = chance.between(0, 40);
      // As a balancer does. A process that is killed under way still cuts what it had.
      let instance = this.cluster.listening(order.instance);
      while (instance === undefined && !this.#isOver) {
        await setTimeout(AWAY_PAUSE_MS);
        instance = this.cluster.listening(order.instance);
      }
      if (instance !== undefined) await this.#send({ ...order, instance });
      await setTimeout(pause);
    }
  }

  #nextOrder(chance: Chance): Order {
    const kind = chance.weighted({
      "user issue": 56,
      "admin issue": 5,
      "user revoke": 10,
      "admin revoke": 4,
      "admin suspend": 5,
      "admin reinstate": 8,
      "user delete": 7,
      "admin delete": 2,
      "admin provision": 3,
    });
    const [by, action] = kind.split(" ") as [Order["by"], Order["action"]];
    return {
      action,
      by,
      subject: `subject-${chance.between(1, SUBJECTS)}`,
      instance: chance.between(0, this.cluster.size - 1),
      scopes: chance.pick(SCOPES),
      forceNew: chance.happens(0.3),
    };
  }

  /** What an administrator cannot name yet is provisioned. */
  async #send(order: Order): Promise<Entry> {
    const unknown = order.by === "admin" && this.#callers.identityIdOf(order.subject) === undefined;
    return await this.#callers.send(unknown ? { ...order, action: "provision" } : order);
  }

  /** Kills, sometimes while it starts, and starts again; or freezes. */
  async #disturb(instance: number, chance: Chance): Promise<void> {
    while (!this.#isOver) {
      await this.#sleep(chance.between(1_000, this.cluster.size > 1 ? MANY_LIVE_MS : ONE_LIVES_MS));
      if (this.#isOver) return;
      // One alone has nobody to lose its leases to.
      if (this.options.freezes && this.cluster.size > 1 && chance.happens(0.15)) await this.#freeze(instance, chance);
      else await this.#crash(instance, chance);
    }
  }

  async #crash(instance: number, chance: Chance): Promise<void> {
    const downtime: Downtime = { instance, from: clock(), until: Number.POSITIVE_INFINITY };
    this.#downtimes.push(downtime);
    await this.cluster.kill(instance);
    await setTimeout(chance.between(20, 800));
    if (chance.happens(0.2)) {
      const starting = this.cluster.startInstance(instance).catch(() => {});
      await setTimeout(chance.between(50, 700));
      await this.cluster.kill(instance);
      await starting;
    }
    await this.cluster.startInstance(instance);
    downtime.until = clock();
  }

  async #freeze(instance: number, chance: Chance): Promise<void> {
    this.#freezes += 1;
    // Its HTTP server wakes up to find kept connections idle for too long, and ends them unread.
    const downtime: Downtime = { instance, from: clock(), until: Number.POSITIVE_INFINITY };
    this.#downtimes.push(downtime);
    this.cluster.signal(instance, "SIGSTOP");
    await setTimeout(chance.between(...FREEZE_MS));
    this.cluster.signal(instance, "SIGCONT");
    downtime.until = clock();
  }

  /** Makes calls of the service go wrong. */
  async #fail(chance: Chance): Promise<void> {
    while (!this.#isOver) {
      await this.#sleep(chance.between(60, 350));
      await this.cluster.control("POST", "/faults", nextFault(chance));
      this.#faults += 1;
    }
  }

  async #sleep(milliseconds: number): Promise<void> {
    const left = this.options.seconds * 1000 - (clock() - this.#began);
    await setTimeout(Math.max(0, Math.min(milliseconds, left + 1)));
  }

  async #report(): Promise<void> {
    while (!this.#isOver) {
      await this.#sleep(REPORT_MS);
      this.options.report?.(this.#summary());
    }
  }

  async #drain(): Promise<Violation[]> {
    const end = clock() + DRAIN_MS;
    let pending: unknown;
    while (clock() < end) {
      pending = (await this.#callers.read(0, "{ pendingServiceWork(first: 100) { action tries lastError } }"))
        ?.pendingServiceWork;
      if (Array.isArray(pending) && pending.length === 0) return [];
      await setTimeout(200);
    }
    return [{ invariant: `accepted work is done in ${DRAIN_MS} ms, not ${JSON.stringify(pending)}`, entries: [] }];
  }

  /** Nobody is locked out for good: with no faults, every subject gets a good token, unless they are suspended. */
  async #askOnceMore(): Promise<Violation[]> {
    const subjects = Array.from({ length: SUBJECTS }, (_, index) => `subject-${index + 1}`);
    const asked = await Promise.all(
      subjects.map(async (subject, index): Promise<Violation[]> => {
        const end = clock() + DRAIN_MS;
        const order = { action: "issue", by: "user", subject, instance: index % this.cluster.size } as const;
        for (;;) {
          const entry = await this.#send({ ...order, scopes: ["CHAT"], forceNew: true });
          if (entry.code === "IDENTITY_SUSPENDED") return [];
          if (entry.token !== undefined) {
            const active = await this.cluster.isActive(entry.token.text);
            return active ? [] : [{ invariant: "a new token is good", entries: [entry] }];
          }
          // A killed process leaves its lease behind, which has to run out first.
          if (clock() > end) return [{ invariant: "who asks again gets a token in the end", entries: [entry] }];
          await setTimeout(300);
        }
      }),
    );
    return asked.flat();
  }

  async #judge(): Promise<Violation[]> {
    const { history } = this.#callers;
    const state = await this.#finalState();
    return [
      ...checkAnswers(history, this.#downtimes),
      ...checkMappings(history, state),
      ...checkTokens(history),
      ...checkService(state),
      ...checkTrail(history, state),
      ...(await checkWork(history, state)),
    ];
  }

  async #finalState(): Promise<FinalState> {
    const store = await this.cluster.openStore();
    try {
      return {
        ...(await storedState(store)),
        liveAtService: await this.cluster.liveAtService(),
        isActive: (token) => this.cluster.isActive(token),
        trail: await this.cluster.trail(),
        fingerprint: (token) => this.cluster.fingerprint(token),
      };
    } finally {
      await store.close();
    }
  }

  #describe({ invariant, entries }: Violation): string {
    return [invariant, ...entries.map((entry) => `    ${show(entry, this.#began)}`)].join("\n");
  }

  #summary(): string {
    const { history } = this.#callers;
    const count = (outcome: Entry["outcome"]) => history.filter((entry) => entry.outcome === outcome).length;
    const tokens = history.filter(({ token }) => token !== undefined).length;
    const parts = [
      `${history.length} requests`,
      `${count("done")} done`,
      `${count("refused")} refused`,
      `${count("failed")} failed`,
      `${count("cut")} cut`,
      `${tokens} tokens`,
      `${this.#downtimes.length - this.#freezes} kills`,
      `${this.#freezes} freezes`,
      `${this.#faults} faults`,
    ];
    return parts.join(", ");
  }
}

function nextFault(chance: Chance): Record<string, unknown> {
  const kind = chance.weighted({ error: 20, pacing: 8, html503: 10, slow: 20, late: 16, hang: 8, commitThenDrop: 18 });
  const operation = chance.weighted({
    createIdentity: 30,
    issueAccessToken: 30,
    revokeAccessTokens: 25,
    deleteIdentity: 15,
  });
  switch (kind) {
    case "error":
      return { operation, kind: "status", status: 500 };
    case "pacing":
      return { operation, kind: "status", status: 429, retryAfterSeconds: 1 };
    case "slow":
      return { operation, kind: "delay", delayMs: chance.between(20, 700) };
    case "late":
      return { operation, kind: "delay", delayMs: chance.between(...LATE_MS) };
    default:
      return { operation, kind };
  }
}
