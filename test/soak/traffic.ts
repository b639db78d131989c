import { setTimeout } from "node:timers/promises";
import { Chance } from "../faults/random.js";
import { Hostile } from "./hostile.js";
import { Operators } from "./operators.js";
import { Rude } from "./rude.js";
import { nextOrder, type Parts, SCOPES, type Users } from "./users.js";

/** Signed in all the time, and left alone: whatever happens, their identity stays. */
const STEADY = 120;
/** Whose tokens are revoked, and whose identities are suspended, reinstated and deleted. */
const LIVELY = 80;
const PROVERS = 12;
const REFRESHERS = 12;
/** How many at the same time; what comes beyond is held back and counted, so that an outage ends some day. */
const MOST_AT_ONCE = 150;
const TURN_MS = 50;
/** How many are asked for at the same time where all are. */
const IN_TURN = 8;
/** And how soon one after the other: slower than the pace to which the service's published limits hold the gateway. */
const NEXT_AFTER_MS = 60;

/** Of a hundred requests, or so: what callers do, good and bad. */
const SCENES = {
  "steady issue": 30,
  viewer: 7,
  "viewer by id": 3,
  "issue by id": 4,
  prove: 7,
  refresh: 4,
  newcomer: 3,
  lively: 14,
  "walk identities": 0.6,
  "walk audit events": 0.5,
  activity: 1,
  "look up": 4,
  records: 2,
  pending: 1,
  forge: 7,
  nonsense: 5,
  trespass: 3,
  replay: 2,
  abort: 3,
  "slow client": 0.5,
  "half open": 0.7,
  garbage: 1,
  socket: 1,
  "curious socket": 0.7,
} as const;
type Scene = keyof typeof SCENES;

export interface TrafficOptions {
  readonly seed: number;
  /** Scenes begun in a second, whatever has become of those before. */
  readonly rate: number;
}

/** Begins scenes at an even rate, until it is told to stop; then waits for those under way. */
export class Traffic {
  readonly #chance: Chance;
  readonly #underWay = new Set<Promise<void>>();
  readonly #operators: Operators;
  readonly #hostile: Hostile;
  readonly #rude: Rude;
  #newcomers = 0;

  constructor(
    private readonly parts: Parts,
    private readonly users: Users,
    private readonly options: TrafficOptions,
  ) {
    this.#chance = Chance.named(options.seed, "traffic");
    this.#operators = new Operators(parts, users);
    this.#hostile = new Hostile(parts, users);
    this.#rude = new Rude(parts, users);
  }

  get underWay(): number {
    return this.#underWay.size;
  }

  /** Everybody who stays signs in for the first time. */
  async signIn(): Promise<void> {
    await inTurns(subjects("steady", STEADY), (subject) => this.#issue(subject, ["CHAT"]));
    await inTurns(subjects("prover", PROVERS), (subject) => this.users.proving(subject, ["CHAT"]));
  }

  async run(signal: AbortSignal): Promise<void> {
    const began = performance.now();
    let begun = 0;
    while (!signal.aborted) {
      const due = ((performance.now() - began) / 1000) * this.options.rate;
      for (; begun < due; begun++) this.#begin(this.#chance.weighted(SCENES));
      await setTimeout(TURN_MS, undefined, { signal }).catch(() => {});
    }
    await Promise.all(this.#underWay);
  }

  /** Nobody is locked out for good: all who are not suspended get a token. */
  async askOnceMore(): Promise<void> {
    await inTurns(subjects("lively", LIVELY), async (subject) => {
      const entry = await this.users.order({ action: "issue", by: "user", subject, scopes: ["CHAT"], forceNew: true });
      const isRight = entry?.outcome === "done" || entry?.code === "IDENTITY_SUSPENDED";
      if (!isRight) this.parts.journal.wrong(`${subject} is locked out in the end: ${entry?.code ?? entry?.outcome}`);
    });
    await inTurns(subjects("steady", STEADY), (subject) => this.#issue(subject, ["CHAT"]));
  }

  #begin(scene: Scene): void {
    if (this.#underWay.size >= MOST_AT_ONCE) {
      this.parts.journal.count("scenes held back");
      return;
    }
    const play = this.#play(scene).catch((error: unknown) => {
      this.parts.journal.wrong(
        `the soak itself has failed at "${scene}": ${error instanceof Error ? error.stack : error}`,
      );
    });
    this.#underWay.add(play);
    void play.finally(() => this.#underWay.delete(play));
  }

  async #play(scene: Scene): Promise<void> {
    const chance = this.#chance;
    const steady = `steady-${chance.between(1, STEADY)}`;
    const scenes: Readonly<Record<Scene, () => Promise<void>>> = {
      "steady issue": () => this.#issue(steady, chance.pick(SCOPES), chance.happens(0.2)),
      viewer: () => this.users.viewer(steady),
      "viewer by id": () => this.users.viewer(steady, { byId: true }),
      "issue by id": () => this.users.issueById(steady, chance.pick(SCOPES)),
      prove: () => this.users.proving(`prover-${chance.between(1, PROVERS)}`, chance.pick(SCOPES)),
      refresh: () => this.users.refresh(`steady-${chance.between(1, REFRESHERS)}`),
      newcomer: () => this.#welcome(chance),
      lively: () => this.#disturb(chance),
      "walk identities": () => this.#operators.walkIdentities(chance),
      "walk audit events": () => this.#operators.walkAuditEvents(),
      activity: () => this.#operators.tokenActivity(),
      "look up": () => this.#operators.lookUp(steady),
      records: () => this.#operators.tokenRecords(steady),
      pending: () => this.#operators.pending(),
      forge: () => this.#hostile.forge(chance),
      nonsense: () => this.#hostile.nonsense(chance),
      trespass: () => this.#hostile.trespass(chance),
      replay: () => this.#hostile.replay(),
      abort: () => this.#hostile.abort(chance),
      "slow client": () => this.#rude.slowClient(),
      "half open": () => this.#rude.halfOpen(chance),
      garbage: () => this.#rude.garbage(chance),
      socket: () => this.#rude.webSocket(chance),
      "curious socket": () => this.#rude.curiousSocket(),
    };
    await scenes[scene]();
  }

  async #issue(subject: string, scopes: readonly string[], forceNew = false): Promise<void> {
    await this.users.order({ action: "issue", by: "user", subject, scopes, forceNew }, { steady: true });
  }

  /** Comes once, asks twice at the same time, and is given one identity. */
  async #welcome(chance: Chance): Promise<void> {
    this.#newcomers += 1;
    const subject = `new-${this.#newcomers}`;
    const scopes = chance.pick(SCOPES);
    await Promise.all([this.#issue(subject, scopes), this.#issue(subject, scopes)]);
  }

  /** Whom an administrator cannot name yet they provision. */
  async #disturb(chance: Chance): Promise<void> {
    const order = nextOrder(chance, LIVELY);
    const isUnknown = order.by === "admin" && !this.users.identities.has(order.subject);
    await this.users.order(isUnknown ? { ...order, action: "provision" } : order);
  }
}

const subjects = (kind: string, count: number) => Array.from({ length: count }, (_, index) => `${kind}-${index + 1}`);

async function inTurns(all: readonly string[], work: (subject: string) => Promise<void>): Promise<void> {
  const began = performance.now();
  const left = all.entries();
  const take = async () => {
    for (const [index, subject] of left) {
      await setTimeout(Math.max(0, began + index * NEXT_AFTER_MS - performance.now()));
      await work(subject);
    }
  };
  await Promise.all(Array.from({ length: IN_TURN }, take));
}
