import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { expect, it } from "vitest";
import { type AuditEvent, type AuditRecord, type Premise, recordId } from "../../src/audit/record.js";
import { type AppendOptions, type FoundRow, type FoundRows, Trail, type TrailStore } from "../../src/audit/trail.js";
import type { Identity } from "../../src/identities/identity.js";
import { faultIn } from "../fixtures/trail.js";

/** What becomes of a write: mostly it is done and answered in time. */
type Fate = "done" | "fails" | "loses its answer" | "is run late" | "is to be asked again" | "finds another session";

/** A server as Postgres is: one statement after the other, in the order in which they were sent. */
class Server implements TrailStore {
  readonly enoughForAWrite = 3;
  readonly stored: AuditRecord[] = [];
  sent = 0;
  sentAhead = 0;
  /** Of connections that are lost: the server comes to them once others have been served. */
  readonly #late: { readonly run: () => void; patience: number }[] = [];
  last: string | undefined;
  #queue = Promise.resolve();

  constructor(
    private readonly fates: () => Fate,
    private readonly delays: () => number,
    private readonly holds: (premise: Premise) => boolean,
    readonly writesAtOnce: number,
  ) {}

  async append(
    records: readonly AuditRecord[],
    { after, premises = [], behind }: AppendOptions = {},
  ): Promise<FoundRows | undefined> {
    behind?.();
    this.sent += 1;
    if (after !== undefined) this.sentAhead += 1;
    const work = this.#queue.then(async () => {
      // Long enough that the next write is sent meanwhile.
      for (let turn = 0; turn < 6; turn++) await setImmediate();
      return this.#run(records, after && recordId(after), premises);
    });
    this.#queue = work.then(
      () => {},
      () => {},
    );
    const turns = this.delays();
    // Whatever it is, it is seen at some time, and may be seen after the next one.
    const seen = async () => {
      for (let turn = 0; turn < turns; turn++) await setImmediate();
    };
    await work.finally(seen);
    return await work;
  }

  #run(
    records: readonly AuditRecord[],
    after: string | undefined,
    premises: readonly Premise[],
  ): FoundRows | undefined {
    for (const late of this.#late) if (late.patience-- === 0) late.run();
    const fate = this.fates();
    if (fate === "fails") throw new Error("away");
    if (fate === "is run late") {
      const run = () => {
        const ids = new Set(this.stored.map(recordId));
        const isThere = records.some((record) => ids.has(recordId(record)));
        if (!isThere && (after === undefined || after === this.last)) this.#store(records, premises);
      };
      this.#late.push({ run, patience: this.delays() % 3 });
      throw new Error("connection lost");
    }
    if (fate === "is to be asked again") return undefined;
    if (after !== undefined && (after !== this.last || fate === "finds another session")) return undefined;
    const isStored = this.#store(records, premises);
    if (isStored && fate === "loses its answer") throw new Error("connection lost");
    return isStored ? new Map(premises.map((premise) => [premise.identityId, rowOf(premise)])) : undefined;
  }

  #store(records: readonly AuditRecord[], premises: readonly Premise[]): boolean {
    if (!premises.every(this.holds)) return false;
    const ids = new Set(this.stored.map(recordId));
    if (records.some((record) => ids.has(recordId(record)))) throw new Error("one of them is there");
    this.stored.push(...records);
    this.last = recordId(records.at(-1) ?? { writer: "", sequence: 0 });
    return true;
  }
}

const NO_ROW = { user: null, resource: null, createdAt: 0, lastTokenIssuedAt: null, tokensValidAfter: null } as const;

function rowOf({ identityId, ...premise }: Premise): Identity {
  return { ...NO_ROW, ...premise, id: identityId, status: "ACTIVE", revocationPending: false };
}

const FATES: readonly Fate[] = [
  ...new Array<Fate>(8).fill("done"),
  "fails",
  "loses its answer",
  "is run late",
  "is to be asked again",
  "finds another session",
];

const toldAbout = (requestId: string): AuditEvent => ({
  action: "TOKEN_REUSED",
  phase: "OUTCOME",
  identityId: "idn_1",
  actor: null,
  scopes: ["CHAT"],
  tokenFingerprint: null,
  tokenExpiresOn: null,
  reason: null,
  requestId,
  clientName: null,
  clientVersion: null,
});

type Told = "none" | "holds" | "does not";

/** What comes in one turn of the event loop: without a premise, with one that holds, with one that does not. */
const turns = fc.array(
  fc.array(fc.constantFrom<Told[]>("none", "none", "none", "holds", "does not"), { maxLength: 4 }),
  {
    maxLength: 30,
  },
);

/** A trail on such a server, on which premises hold that say so. */
function open(fates: () => Fate, delays: () => number, writesAtOnce = 2) {
  const server = new Server(fates, delays, ({ identityId }) => identityId === "holds", writesAtOnce);
  const observe = { written: () => {}, failed: () => {} };
  const parts = { store: server, now: Date.now, elapsed: () => performance.now(), randomBytes, observe };
  const trail = new Trail({ ...parts, queueSize: 1000, writeTimeoutMs: 5000 });
  const deadline = new AbortController().signal;
  const tell = async (name: string, premise: Told) => {
    const relied = { identityId: premise, communicationUserId: "8:acs:a_b", revocations: 0 };
    const rows: string[] = [];
    const found = ({ identity }: FoundRow) => rows.push(identity.id);
    const answer = trail.record(toldAbout(name), deadline, premise === "none" ? {} : { premise: relied, found });
    const isWritten = await answer.catch(() => undefined);
    // Who is told yes has been told of the row, once; nobody else is.
    expect(rows).toEqual(isWritten && premise !== "none" ? [premise] : []);
    return isWritten;
  };
  const checkChains = () => {
    for (const records of Map.groupBy(server.stored, ({ writer }) => writer).values()) {
      expect(faultIn(records)).toBeUndefined();
      // In the order in which they were told.
      const order = records.map(({ requestId }) => Number(requestId.slice(1)));
      expect(order).toEqual(order.toSorted((one, other) => one - other));
    }
  };
  return { server, tell, checkChains };
}

it("a write that was sent after one that is void, and is run when its connection is lost, finds nothing to go on from", async () => {
  const fates: Fate[] = ["done", "is run late"];
  const { server, tell, checkChains } = open(
    () => fates.shift() ?? "done",
    () => 0,
  );
  // The first write is of three and ends with the second; what is left of it and what comes behind it are two.
  const told = [tell("r1", "does not"), tell("r2", "none"), tell("r3", "does not")];
  while (server.sent < 1) await setImmediate();
  told.push(tell("r4", "none"), tell("r5", "none"));
  while (server.sent < 2) await setImmediate();
  expect(server.sentAhead).toBe(1);
  expect(await Promise.all(told)).toEqual([false, true, false, true, true]);
  expect(await tell("r6", "none")).toBe(true);
  expect(await tell("r7", "none")).toBe(true);
  expect(server.stored.map(({ requestId }) => requestId)).toEqual(["r2", "r4", "r5", "r6", "r7"]);
  checkChains();
});

it("a write that failed before the answer to the void one in front of it was seen leaves that one's chain for good", async () => {
  const fates: Fate[] = ["done", "is run late"];
  // The first answer takes long; the one that is lost is run before the third write from then on.
  const delays = [9, 0, 2];
  const { server, tell, checkChains } = open(
    () => fates.shift() ?? "done",
    () => delays.shift() ?? 0,
  );
  const told = [tell("r1", "does not"), tell("r2", "none"), tell("r3", "none")];
  while (server.sent < 1) await setImmediate();
  told.push(tell("r4", "none"));
  while (server.sent < 2) await setImmediate();
  expect(await Promise.all(told)).toEqual([false, true, true, undefined]);
  expect([await tell("r5", "none"), await tell("r6", "none")]).toEqual([true, true]);
  expect(server.stored.map(({ requestId }) => requestId)).toEqual(["r2", "r3", "r5", "r6"]);
  checkChains();
});

const fatesOfWrites = fc.infiniteStream(fc.constantFrom(...FATES));
const pausesOfCallers = fc.infiniteStream(fc.nat(8));
const delaysOfAnswers = fc.infiniteStream(fc.constantFrom(0, 0, 9));

let sentAhead = 0;

it("whatever becomes of writes, who is told yes has one record, who is told no has none, and each chain is whole", async () => {
  await fc.assert(
    fc.asyncProperty(
      turns,
      fc.boolean(),
      fatesOfWrites,
      delaysOfAnswers,
      pausesOfCallers,
      fc.constantFrom(2, 3),
      async (told, isCalm, fates, delays, pauses, writesAtOnce) => {
        const { server, tell, checkChains } = open(
          () => (isCalm ? "done" : (fates.next().value as Fate)),
          () => delays.next().value as number,
          writesAtOnce,
        );
        const answers: Promise<readonly [name: string, premise: Told, answer: boolean | undefined]>[] = [];
        for (const turn of told) {
          for (const premise of turn) {
            const name = `r${answers.length}`;
            answers.push(tell(name, premise).then((answer) => [name, premise, answer] as const));
          }
          for (let pause = pauses.next().value as number; pause >= 0; pause--) await setImmediate();
        }
        const settled = await Promise.all(answers);
        sentAhead += server.sentAhead;
        const names = server.stored.map(({ requestId }) => requestId);
        for (const [name, premise, answer] of settled) {
          const times = names.filter((stored) => stored === name).length;
          if (answer === true) expect([name, times]).toEqual([name, 1]);
          else if (answer === false) expect([name, times, premise === "none"]).toEqual([name, 0, false]);
          else expect([name, isCalm, times <= 1]).toEqual([name, false, true]);
          if (premise === "does not") expect(answer).not.toBe(true);
        }
        checkChains();
      },
    ),
    { numRuns: 2000 },
  );
  expect(sentAhead).toBeGreaterThan(1000);
}, 120_000);
