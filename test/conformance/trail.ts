import { randomBytes } from "node:crypto";
import { setImmediate, setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { ChainEnd } from "../../src/audit/chain.js";
import type { AuditEvent, AuditRecord } from "../../src/audit/record.js";
import { type FoundRow, Trail, type TrailStore } from "../../src/audit/trail.js";
import { GatewayError } from "../../src/errors.js";
import type { Store } from "../../src/store/store.js";
import { type Ask, faultIn, readChains } from "../fixtures/trail.js";

export interface OpenedTrail {
  readonly store: Store;
  /** Another process's store on the same database. */
  readonly other: Store;
  readonly ask: Ask;
  close(): Promise<void>;
}

interface Options {
  readonly store?: TrailStore;
  readonly queueSize?: number;
  readonly writeTimeoutMs?: number;
  readonly now?: () => number;
  readonly elapsed?: () => number;
  readonly written?: (end: ChainEnd) => void;
}

const PLENTY = 10_000;
const never = new AbortController().signal;
const unavailable = { name: "GatewayError", code: "AUDIT_UNAVAILABLE" };

type Fault =
  | "fails"
  | "hangs"
  | "hangs and fails"
  | "answers nothing"
  | "loses its answer"
  | "loses its late answer"
  | "is answered late"
  | "is to be asked for again";

/** A real store whose next writes fail, hang, or are done without an answer. What is sent after such a write waits for it. */
class FaultyStore implements TrailStore {
  /** How many records each write had. */
  readonly sizes: number[] = [];
  writes = 0;
  atOnce = 0;
  mostAtOnce = 0;
  /** As where a pooler gives each statement another session. */
  forgets = false;
  readonly faults: Fault[] = [];
  readonly hanging: (() => void)[] = [];
  #held = Promise.resolve();

  constructor(private readonly store: TrailStore) {}

  get writesAtOnce(): number {
    return this.store.writesAtOnce;
  }

  get enoughForAWrite(): number {
    return this.store.enoughForAWrite;
  }

  async append(...args: Parameters<TrailStore["append"]>): ReturnType<TrailStore["append"]> {
    this.sizes.push(args[0].length);
    this.writes += 1;
    this.atOnce += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.atOnce);
    const fault = this.faults.shift();
    const isSentAhead = args[1]?.after !== undefined;
    const work = isSentAhead ? this.#held.then(() => this.#append(fault, ...args)) : this.#append(fault, ...args);
    const over = () => {};
    if ((fault !== undefined && fault !== "is answered late") || this.forgets) this.#held = work.then(over, over);
    return await work.finally(() => {
      this.atOnce -= 1;
    });
  }

  async #append(
    fault: Fault | undefined,
    ...[records, options]: Parameters<TrailStore["append"]>
  ): ReturnType<TrailStore["append"]> {
    const release = () => new Promise<void>((resolve) => this.hanging.push(resolve));
    if (this.forgets && options?.after !== undefined) {
      options.behind?.();
      return undefined;
    }
    if (fault === "is to be asked for again") {
      options?.behind?.();
      return undefined;
    }
    if (fault === "hangs" || fault === "hangs and fails") await release();
    if (fault === "fails" || fault === "hangs and fails") throw new GatewayError("STORE_UNAVAILABLE", "away");
    const found = await this.store.append(records, options);
    if (fault === "answers nothing" || fault === "loses its late answer" || fault === "is answered late")
      await release();
    if (fault === "loses its answer" || fault === "loses its late answer")
      throw new GatewayError("STORE_UNAVAILABLE", "connection lost");
    return found;
  }
}

/** What a trail must do on every database; on one that takes premises, that as well. */
export function trailConformance(name: string, open: () => Promise<OpenedTrail>, takesPremises = false): void {
  describe(`a trail on ${name}`, () => {
    let opened: OpenedTrail;
    let faulty: FaultyStore;
    let failures: number[];

    beforeAll(async () => {
      opened = await open();
    });
    afterEach(async () => {
      for (const release of faulty.hanging) release();
      await expect.poll(() => faulty.atOnce).toBe(0);
      await opened.ask("delete from audit_events returning id");
    });
    afterAll(async () => {
      await opened.close();
    });

    function start(options: Options = {}): Trail {
      const {
        store = opened.store.audit,
        queueSize = PLENTY,
        writeTimeoutMs = 5000,
        now = Date.now,
        // A store that is quick, whatever this machine has to do.
        elapsed = () => 0,
        written,
      } = options;
      faulty = new FaultyStore(store);
      failures = [];
      const observe = {
        written: (_: number, end: ChainEnd) => written?.(end),
        failed: (count: number) => failures.push(count),
      };
      return new Trail({ store: faulty, now, elapsed, randomBytes, queueSize, writeTimeoutMs, observe });
    }
    const event = (requestId: string): AuditEvent => ({
      action: "TOKEN_ISSUED",
      phase: "OUTCOME",
      identityId: "idn_1",
      actor: { issuer: "https://i.example.com", subject: "ünï \u{1F600} ' \\ \"" },
      scopes: ["CHAT", "VOIP"],
      tokenFingerprint: "fingerprint",
      tokenExpiresOn: 1_800_000_000_000,
      reason: "because\nof 'this'",
      requestId,
      clientName: null,
      clientVersion: "1",
    });
    const record = (trail: Trail, requestId: string, deadline = never) => trail.record(event(requestId), deadline);
    /** So many writes, each of one record, that the next one waits. The oldest has this fault. */
    async function hold(trail: Trail, fault: Fault = "hangs", then = () => {}): Promise<Promise<unknown>[]> {
      faulty.faults.push(fault);
      const held: Promise<unknown>[] = [];
      while (held.length < faulty.writesAtOnce) {
        const one = record(trail, "held");
        one.catch(() => {});
        held.push(one);
        await expect.poll(() => faulty.writes).toBe(held.length);
      }
      then();
      return held;
    }
    const requestsIn = (records: readonly AuditRecord[]) => records.map(({ requestId }) => requestId);
    async function wholeChains(): Promise<AuditRecord[][]> {
      const chains = await readChains(opened.ask);
      for (const records of chains) expect(faultIn(records)).toBeUndefined();
      return chains;
    }

    it("is of a store that takes premises, or does not", () => {
      start();
      expect(opened.store.audit.takesPremises).toBe(takesPremises);
    });

    it("keeps what was told, to the letter", async () => {
      await record(start(), "one");
      expect(await wholeChains()).toEqual([[expect.objectContaining(event("one"))]]);
    });

    it("has a record once it says so", async () => {
      const trail = start();
      for (let count = 1; count <= 3; count++) {
        await record(trail, `r${count}`);
        expect((await readChains(opened.ask)).flat()).toHaveLength(count);
      }
    });

    it("puts no event before the last one for a clock that was set back a little, and tells what is more", async () => {
      const clock = [100_000, 99_000, 100_001, 30_000, 30_001];
      const trail = start({ now: () => clock.shift() ?? expect.fail("asked too often") });
      for (const requestId of ["a", "b", "c", "d", "e"]) await record(trail, requestId);
      const [records = []] = await wholeChains();
      expect(records.map(({ at }) => at)).toEqual([100_000, 100_000, 100_001, 30_000, 30_001]);
    });

    it("puts what a thousand callers tell at once into one unbroken chain, in their order, by few writes", async () => {
      const trail = start();
      const told = Array.from({ length: 1000 }, (_, index) => `r${index}`);
      await Promise.all(told.map((requestId) => record(trail, requestId)));
      const chains = await wholeChains();
      expect(chains.map(requestsIn)).toEqual([told]);
      expect(faulty.writes).toBeLessThan(20);
      expect(faulty.mostAtOnce).toBeGreaterThanOrEqual(Math.min(2, faulty.writesAtOnce));
      expect(faulty.mostAtOnce).toBeLessThanOrEqual(faulty.writesAtOnce);
    });

    describe("among many", () => {
      let told: Promise<unknown>[];
      let trail: Trail;
      let elapsed: number;

      function begin(options: Pick<Options, "queueSize" | "writeTimeoutMs"> = {}): void {
        told = [];
        elapsed = 0;
        trail = start({ elapsed: () => elapsed, ...options });
      }
      /** So many events in each turn of the event loop; the writes that have begun by then. */
      async function tell(...counts: number[]): Promise<number> {
        for (const count of counts) {
          for (let event = 0; event < count; event++) told.push(record(trail, `r${told.length}`));
          await setImmediate();
        }
        return faulty.writes;
      }

      it("a write waits for what turns bring, until there is enough", async () => {
        begin();
        const { enoughForAWrite: enough } = faulty;
        expect(await tell(3, ...new Array<number>(enough - 4).fill(1))).toBe(0);
        expect(await tell(1)).toBe(1);
        await Promise.all(told);
        expect((await wholeChains()).map((chain) => chain.length)).toEqual([enough]);
      });

      it("a write that another can be sent after has what is enough, and the next one the rest", async () => {
        begin();
        const { enoughForAWrite: enough, writesAtOnce } = faulty;
        await tell(3 * enough - 1);
        await Promise.all(told);
        const followed = new Array<number>(writesAtOnce - 1).fill(enough);
        expect(faulty.sizes).toEqual([...followed, (4 - writesAtOnce) * enough - 1]);
        expect(faulty.mostAtOnce).toBe(writesAtOnce);
      });

      it("fewer are sent ahead to a store that is slow, as each has its time from when it is sent", async () => {
        begin({ writeTimeoutMs: 3000 });
        const { enoughForAWrite: enough, writesAtOnce } = faulty;
        /** How many are under way of those that there is enough for, behind a write that took so long. */
        const underWayAfter = async (milliseconds: number) => {
          const hanging = faulty.hanging.length;
          faulty.faults.push("is answered late");
          await tell(1);
          await expect.poll(() => faulty.hanging.length).toBe(hanging + 1);
          elapsed += milliseconds;
          faulty.hanging[hanging]?.();
          await Promise.all(told);
          faulty.writes = 0;
          faulty.faults.push("is answered late");
          for (let write = 0; write < writesAtOnce; write++) await tell(enough, 0, 0, 0);
          const { writes } = faulty;
          await expect.poll(() => faulty.hanging.length).toBe(hanging + 2);
          faulty.hanging[hanging + 1]?.();
          await Promise.all(told);
          return writes;
        };
        expect(await underWayAfter(1100)).toBe(1);
        expect(await underWayAfter(700)).toBe(Math.min(2, writesAtOnce));
        expect(await underWayAfter(5)).toBe(writesAtOnce);
      });

      it("a write has all where they are very many", async () => {
        begin();
        const { enoughForAWrite: enough } = faulty;
        await tell(3 * enough);
        await Promise.all(told);
        expect(faulty.sizes).toEqual([3 * enough]);
      });

      it("a write waits two turns that bring nothing, each time", async () => {
        begin();
        expect(await tell(3, 0, 1, 0, 0)).toBe(0);
        expect(await tell(0)).toBe(1);
        await Promise.all(told);
        expect((await wholeChains()).map((chain) => chain.length)).toEqual([4]);
      });

      it("a write waits for the others of a crowd that comes again", async () => {
        begin();
        await tell(3);
        await Promise.all(told);
        expect(faulty.writes).toBe(1);
        expect(await tell(1, 1, 0)).toBe(1);
        await Promise.all(told);
        expect(faulty.writes).toBe(2);
      });

      it("a write waits no longer than 5 ms, however much more comes", async () => {
        begin();
        expect(await tell(3, 1)).toBe(0);
        elapsed = 4;
        expect(await tell(1)).toBe(0);
        elapsed = 5;
        expect(await tell(1)).toBe(1);
        await Promise.all(told);
      });

      it("a queue that is full is written with the next turn", async () => {
        begin({ queueSize: 5 });
        expect(await tell(5)).toBe(1);
        await Promise.all(told);
      });
    });

    it("waits for no more where one request is alone", async () => {
      const trail = start();
      for (const count of [1, 2]) {
        const told = Array.from({ length: count }, (_, index) => record(trail, `r${index}`));
        await setImmediate();
        expect(faulty.writes).toBe(count);
        await Promise.all(told);
      }
    });

    it("puts together what comes while a write is under way", async () => {
      const trail = start();
      faulty.faults.push("answers nothing");
      const first = record(trail, "first");
      await expect.poll(() => faulty.hanging.length).toBe(1);
      const rest = Array.from({ length: 100 }, (_, index) => record(trail, `r${index}`));
      faulty.hanging[0]?.();
      await Promise.all([first, ...rest]);
      expect(faulty.writes).toBe(2);
      expect((await wholeChains()).map((chain) => chain.length)).toEqual([101]);
    });

    it("goes on in a chain of its own after a write that failed", async () => {
      const trail = start();
      await record(trail, "before");
      faulty.faults.push("fails");
      const refused = await Promise.allSettled([record(trail, "a"), record(trail, "b")]);
      expect(refused).toMatchObject([{ reason: unavailable }, { reason: unavailable }]);
      expect(failures).toEqual([2]);
      await record(trail, "after");
      await record(trail, "after that");
      const chains = (await wholeChains()).map(requestsIn);
      expect(chains).toHaveLength(2);
      expect(chains).toEqual(expect.arrayContaining([["before"], ["after", "after that"]]));
    });

    it("breaks no chain when the answer to a write that was done is lost", async () => {
      const trail = start();
      await record(trail, "before");
      faulty.faults.push("loses its answer");
      await expect(record(trail, "unknown")).rejects.toMatchObject(unavailable);
      await record(trail, "after");
      const chains = (await wholeChains()).map(requestsIn);
      expect(chains).toHaveLength(2);
      expect(chains).toEqual(expect.arrayContaining([["before", "unknown"], ["after"]]));
    });

    it("gives a write up that hangs, and breaks no chain when it is done after all", async () => {
      const trail = start({ writeTimeoutMs: 50 });
      faulty.faults.push("hangs");
      await expect(record(trail, "hangs")).rejects.toMatchObject(unavailable);
      await record(trail, "after");
      faulty.hanging[0]?.();
      await expect.poll(() => faulty.atOnce).toBe(0);
      const chains = (await wholeChains()).map(requestsIn);
      expect(chains).toHaveLength(2);
      expect(chains).toEqual(expect.arrayContaining([["hangs"], ["after"]]));
    });

    it("lets go at the deadline of a caller whose write hangs, with no more writes under way than ever", async () => {
      const trail = start();
      faulty.faults.push("hangs");
      const deadline = new AbortController();
      const waiting = Array.from({ length: 10 }, (_, index) => record(trail, `r${index}`, deadline.signal));
      await expect.poll(() => faulty.hanging.length).toBe(1);
      const { writesAtOnce } = faulty;
      for (let later = 1; later <= writesAtOnce; later++) {
        waiting.push(record(trail, `later ${later}`, deadline.signal));
        await expect.poll(() => faulty.writes).toBe(Math.min(1 + later, writesAtOnce));
      }
      deadline.abort();
      const refused = await Promise.allSettled(waiting);
      expect(refused).toEqual(
        refused.map(() => expect.objectContaining({ reason: expect.objectContaining(unavailable) })),
      );
      expect(faulty.mostAtOnce).toBe(writesAtOnce);
      faulty.hanging[0]?.();
      await record(trail, "after");
      expect((await wholeChains()).map((chain) => chain.length)).toEqual([11 + writesAtOnce]);
    });

    it("lets a caller go at once whose time is up already, and writes all the same", async () => {
      const trail = start();
      await expect(record(trail, "late", AbortSignal.abort())).rejects.toMatchObject(unavailable);
      await record(trail, "after");
      expect((await wholeChains()).map(requestsIn)).toEqual([["late", "after"]]);
    });

    it("writes no intent whose caller was refused before its write began: nothing will come of it", async () => {
      const trail = start();
      const intent = (requestId: string, deadline: AbortSignal) =>
        trail.record({ ...event(requestId), phase: "INTENT" }, deadline);
      await expect(intent("late", AbortSignal.abort())).rejects.toMatchObject(unavailable);
      const held = await hold(trail);
      const deadline = new AbortController();
      const waiting = [intent("given up", deadline.signal), record(trail, "done", deadline.signal)];
      deadline.abort();
      for (const refused of await Promise.allSettled(waiting)) expect(refused).toMatchObject({ reason: unavailable });
      faulty.hanging[0]?.();
      await Promise.all(held);
      await record(trail, "after");
      expect((await wholeChains()).map(requestsIn)).toEqual([[...held.map(() => "held"), "done", "after"]]);
      await expect(intent("late", AbortSignal.abort())).rejects.toMatchObject(unavailable);
      await trail.close(1000);
      expect((await wholeChains()).flat()).toHaveLength(held.length + 2);
    });

    it("refuses at once what its queue has no room for", async () => {
      const trail = start({ queueSize: 2 });
      const first = await hold(trail);
      const queued = [record(trail, "second"), record(trail, "third")];
      await expect(record(trail, "too many")).rejects.toMatchObject(unavailable);
      faulty.hanging[0]?.();
      await Promise.all([...first, ...queued]);
      expect((await wholeChains()).map(requestsIn)).toEqual([[...first.map(() => "held"), "second", "third"]]);
    });

    it("writes what it was told before it closes, and takes nothing after", async () => {
      const trail = start();
      const told = Array.from({ length: 600 }, (_, index) => record(trail, `r${index}`));
      await trail.close(5000);
      await Promise.all(told);
      expect((await wholeChains()).map((chain) => chain.length)).toEqual([600]);
      await expect(record(trail, "late")).rejects.toMatchObject(unavailable);
    });

    it("closes though a write hangs, and refuses what waits behind it", async () => {
      const trail = start();
      const held = await hold(trail);
      const queued = record(trail, "queued");
      const [refused] = await Promise.allSettled([queued, trail.close(50)]);
      expect(refused).toMatchObject({ reason: unavailable });
      faulty.hanging[0]?.();
      await Promise.all(held);
    });

    it("refuses with a write that fails those that were sent after it, of which it stores nothing, and goes on", async () => {
      const trail = start();
      const held = await hold(trail, "hangs and fails");
      const queued = record(trail, "queued");
      faulty.hanging[0]?.();
      const refused = await Promise.allSettled(held);
      expect(refused).toEqual(
        held.map(() => expect.objectContaining({ reason: expect.objectContaining(unavailable) })),
      );
      expect(failures).toEqual(held.map(() => 1));
      await queued;
      await record(trail, "after");
      expect((await wholeChains()).map(requestsIn)).toEqual([["queued", "after"]]);
    });

    it("stores what was sent after a write whose answer is lost, and refuses both", async () => {
      const trail = start();
      const held = await hold(trail, "loses its late answer", () => faulty.hanging[0]?.());
      expect((await Promise.allSettled(held)).map(({ status }) => status)).toEqual(held.map(() => "rejected"));
      await record(trail, "after");
      await expect.poll(() => faulty.atOnce).toBe(0);
      const chains = (await wholeChains()).map(requestsIn);
      expect(chains).toHaveLength(2);
      expect(chains).toEqual(expect.arrayContaining([held.map(() => "held"), ["after"]]));
    });

    it("tells what is stored in the order of the chain, in whatever order the answers are seen", async () => {
      const sequences: number[] = [];
      const trail = start({ written: ({ sequence }) => sequences.push(sequence) });
      const held = await hold(trail, "is answered late");
      await expect.poll(async () => (await readChains(opened.ask)).flat().length).toBe(held.length);
      expect(sequences).toEqual([]);
      faulty.hanging[0]?.();
      await Promise.all(held);
      expect(sequences).toEqual(held.map((_, index) => index + 1));
    });

    it("writes one after the other where what is sent ahead does not find what it goes on from", async () => {
      const trail = start();
      faulty.forgets = true;
      await Promise.all(await hold(trail, "answers nothing", () => faulty.hanging[0]?.()));
      faulty.mostAtOnce = 0;
      await Promise.all(Array.from({ length: 600 }, (_, index) => record(trail, `r${index}`)));
      expect((await wholeChains()).map((chain) => chain.length)).toEqual([600 + faulty.writesAtOnce]);
      expect(faulty.mostAtOnce).toBe(1);
    });

    it("looks behind a record once it is there or on its way, and again where that was in vain", async () => {
      const trail = start();
      faulty.forgets = true;
      faulty.faults.push("hangs");
      const first = record(trail, "first");
      await expect.poll(() => faulty.writes).toBe(1);
      const looks = vi.fn();
      const second = trail.record(event("second"), never, { behind: looks });
      const underWay = Math.min(2, faulty.writesAtOnce);
      await expect.poll(() => faulty.writes).toBe(underWay);
      expect(looks).not.toHaveBeenCalled();
      faulty.hanging[0]?.();
      await Promise.all([first, second]);
      expect(looks).toHaveBeenCalledTimes(underWay);
    });

    it("writes anew what the store wants to be asked for again, and looks behind it again", async () => {
      const trail = start();
      faulty.faults.push("is to be asked for again");
      const looks = vi.fn();
      await trail.record(event("again"), never, { behind: looks });
      expect(looks).toHaveBeenCalledTimes(2);
      expect((await wholeChains()).map(requestsIn)).toEqual([["again"]]);
    });

    const onPremises = takesPremises ? describe : () => {};
    onPremises("on a premise", () => {
      const IDENTITY = { identityId: "idn_premise", communicationUserId: "8:acs:a_b", revocations: 2 };
      const row = `'idn_premise', 'https://i.example.com', 'premise', '8:acs:a_b', 'ACTIVE', 0, 2, 0`;
      beforeEach(async () => {
        await opened.ask("delete from identities where subject = 'premise' returning id");
        await opened.ask(`insert into identities (id, issuer, subject, communication_user_id, status, created_at, revocations,
          revocation_pending) values (${row}) returning id`);
      });
      const rely = (trail: Trail, requestId: string, premise = IDENTITY) =>
        trail.record(event(requestId), never, { premise });

      it("writes an event while that holds", async () => {
        const trail = start();
        expect(await Promise.all([rely(trail, "a"), record(trail, "b"), rely(trail, "c")])).toEqual([true, true, true]);
        expect((await wholeChains()).map(requestsIn)).toEqual([["a", "b", "c"]]);
      });

      it("tells each who relies on a row of it, as it is with the record there", async () => {
        const trail = start();
        const other = { identityId: "idn_too", communicationUserId: "8:acs:a_d", revocations: 0 };
        await opened.ask(`insert into identities (id, issuer, subject, communication_user_id, status, created_at)
          values ('idn_too', 'https://i.example.com/too', 'premise', '8:acs:a_d', 'ACTIVE', 5) returning id`);
        const change = "last_token_issued_at = 7, tokens_valid_after = 3, resource = 'r.example.com'";
        await opened.ask(`update identities set ${change} where id = 'idn_premise' returning id`);
        const rows: unknown[] = [];
        const tell = async (premise: typeof IDENTITY, name: string) => {
          const found = ({ identity }: FoundRow) => rows.push([name, identity]);
          expect(await trail.record(event(name), never, { premise, found })).toBe(true);
        };
        const [one, two] = await Promise.all(
          [IDENTITY, other].map(({ identityId }) => opened.store.identities.findById(identityId)),
        );
        expect(one).toMatchObject({ lastTokenIssuedAt: 7, tokensValidAfter: 3, resource: "r.example.com" });
        // The first one notes the writer, the others do not.
        for (let times = 0; times < 2; times++)
          await Promise.all([tell(IDENTITY, "a"), record(trail, "b"), tell(other, "c"), tell(IDENTITY, "d")]);
        const told = [
          ["a", one],
          ["c", two],
          ["d", one],
        ];
        expect(rows).toEqual([...told, ...told]);
      });

      it("tells when the write was sent that has found the row", async () => {
        const trail = start({ elapsed: () => performance.now() });
        await rely(trail, "before");
        faulty.faults.push("answers nothing");
        const found = vi.fn<(row: FoundRow) => void>();
        const sentAfter = performance.now();
        const told = trail.record(event("a"), never, { premise: IDENTITY, found });
        await expect.poll(() => faulty.hanging.length).toBe(1);
        const sentBefore = performance.now();
        await setTimeout(20);
        faulty.hanging[0]?.();
        expect(await told).toBe(true);
        const { askedAt = Number.NaN } = found.mock.calls[0]?.[0] ?? {};
        expect([askedAt >= sentAfter, askedAt <= sentBefore]).toEqual([true, true]);
      });

      it("sends a few writes one after the other where one was sent ahead that was refused", async () => {
        const trail = start();
        faulty.faults.push("is answered late");
        const told = [rely(trail, "a")];
        await expect.poll(() => faulty.writes).toBe(1);
        told.push(rely(trail, "b", { ...IDENTITY, revocations: 1 }));
        await expect.poll(() => faulty.writes).toBe(2);
        faulty.hanging[0]?.();
        expect(await Promise.all(told)).toEqual([true, false]);
        /** How many writes are under way of two that could be. */
        const writeTwo = async () => {
          faulty.writes = 0;
          faulty.faults.push("is answered late");
          const both = [record(trail, "c")];
          await expect.poll(() => faulty.writes).toBe(1);
          both.push(record(trail, "d"));
          await setTimeout(10);
          const underWay = faulty.writes;
          faulty.hanging.at(-1)?.();
          await Promise.all(both);
          return underWay;
        };
        for (let pair = 0; pair < 4; pair++) expect(await writeTwo()).toBe(1);
        expect(await writeTwo()).toBe(2);
      });

      it("tells no row where the event is not written", async () => {
        const found = vi.fn();
        const premise = { ...IDENTITY, revocations: 1 };
        expect(await start().record(event("a"), never, { premise, found })).toBe(false);
        expect(found).not.toHaveBeenCalled();
      });

      it.each([
        ["revocations = 3"],
        ["communication_user_id = '8:acs:a_c'"],
        ["communication_user_id = null"],
        ["status = 'SUSPENDED'"],
        ["revocation_pending = 1"],
        ["id = 'idn_other'"],
      ])("writes no event once it does not (%s), and the others all the same", async (change) => {
        const trail = start();
        await record(trail, "before");
        await opened.ask(`update identities set ${change} where id = 'idn_premise' returning id`);
        const told = [record(trail, "a"), rely(trail, "b"), record(trail, "c"), rely(trail, "d")];
        expect(await Promise.all(told)).toEqual([true, false, true, false]);
        await record(trail, "after");
        expect((await wholeChains()).map(requestsIn)).toEqual([["before", "a", "c", "after"]]);
        expect(failures).toEqual([]);
      });

      it("writes anew what was sent after such an event, on its own premise", async () => {
        const trail = start();
        faulty.faults.push("is answered late");
        const first = [record(trail, "a"), rely(trail, "b", { ...IDENTITY, revocations: 1 })];
        await expect.poll(() => faulty.writes).toBe(1);
        const behind = [rely(trail, "c"), record(trail, "d"), rely(trail, "e", { ...IDENTITY, revocations: 3 })];
        await expect.poll(() => faulty.writes).toBe(2);
        const waiting = record(trail, "f");
        await setImmediate();
        faulty.hanging[0]?.();
        expect(await Promise.all([...first, ...behind, waiting])).toEqual([true, false, false, true, false, true]);
        expect((await wholeChains()).map(requestsIn)).toEqual([["a", "d", "f"]]);
        expect(failures).toEqual([]);
      });

      it("looks behind an event that was written anew, with it there", async () => {
        const trail = start();
        const behind = vi.fn();
        const told = [rely(trail, "a", { ...IDENTITY, revocations: 1 }), trail.record(event("b"), never, { behind })];
        expect(await Promise.all(told)).toEqual([false, true]);
        expect(behind).toHaveBeenCalledTimes(2);
      });
    });

    it("sends ahead again after a while", async () => {
      const trail = start();
      faulty.faults.push("is to be asked for again");
      for (let number = 0; number < 66; number++) await record(trail, `r${number}`);
      faulty.writes = 0;
      const held = await hold(trail);
      faulty.hanging[0]?.();
      await Promise.all(held);
      expect(faulty.mostAtOnce).toBe(faulty.writesAtOnce);
    });

    it("has a chain for each of two processes that write to one database", async () => {
      const [one, two] = [start(), start({ store: opened.other.audit })];
      const tell = async (trail: Trail, label: string) => {
        for (let round = 0; round < 10; round++) {
          await Promise.all(Array.from({ length: 10 }, (_, index) => record(trail, `${label} ${round} ${index}`)));
        }
      };
      await Promise.all([tell(one, "one"), tell(two, "two")]);
      const chains = await wholeChains();
      expect(chains.map((chain) => chain.length)).toEqual([100, 100]);
      expect(chains.map((chain) => new Set(requestsIn(chain).map((id) => id.slice(0, 3))).size)).toEqual([1, 1]);
    });

    it("is read by user, identity and token as soon as it says so, and when somebody has marked a record as not listed", async () => {
      const trail = start();
      const { actor } = event("");
      const filters = [{ actor: actor ?? expect.fail() }, { identityId: "idn_1" }, { tokenFingerprint: "fingerprint" }];
      for (const requestId of ["a", "b", "c"]) {
        await record(trail, requestId);
        for (const store of [opened.store, opened.other]) {
          for (const filter of filters) {
            const found = await store.auditReader.page({ filter, limit: 10, backward: true });
            expect(found[0]?.requestId).toBe(requestId);
          }
        }
      }
      await opened.ask("update audit_events set listed = 0 where request_id = 'b'");
      for (const filter of filters) {
        const found = await opened.store.auditReader.page({ filter, limit: 10, backward: true });
        expect(requestsIn(found)).toEqual(["c", "b", "a"]);
        expect(await opened.store.auditReader.count(filter, 10)).toBe(3);
      }
    });

    it("stays whole when a user is erased, of whom it then says nothing", async () => {
      const trail = start();
      for (const requestId of ["a", "b", "c"]) await record(trail, requestId);
      expect(await opened.store.audit.eraseActor(event("").actor ?? expect.fail(), "idn_1")).toBe(true);
      expect(await opened.store.audit.eraseAbout("idn_1", () => false)).toBeUndefined();
      await record(trail, "after");
      const [records = []] = await wholeChains();
      const erased = { actor: null, actorSeal: { salt: null }, reason: null, reasonSeal: { salt: null } };
      expect(records).toMatchObject([erased, erased, erased, { requestId: "after", reason: event("").reason }]);
    });

    it("is erased in steps, each of so many records that others need not wait", async () => {
      const { audit } = opened.store;
      const trail = start();
      const kinds = (["TOKENS_REVOKED", "TOKEN_ISSUED", "IDENTITY_SUSPENDED"] as const).flatMap((action) =>
        (["OUTCOME", "INTENT"] as const).map((phase) => ({ action, phase })),
      );
      const told = Array.from({ length: 2100 }, (_, index) => ({
        ...event(`${index}`),
        ...kinds[index % kinds.length],
      }));
      await Promise.all(told.map((each) => trail.record(each, never)));
      const rest = async () => {
        const records = (await wholeChains()).flat();
        return [records.filter(({ actor }) => actor).length, records.filter(({ reason }) => reason).length];
      };
      const { actor } = event("");
      expect(await audit.eraseActor(actor ?? expect.fail(), "idn_1")).toBe(false);
      expect(await rest()).toEqual([1100, 2100]);
      const isUser = ({ subject }: { subject: string }) => subject === actor?.subject;
      let place = await audit.eraseAbout("idn_1", isUser);
      expect((await rest())[1]).toBe(1100);
      for (let step = 0; step < 2; step++) place = await audit.eraseAbout("idn_1", isUser, place);
      expect([place, ...(await rest())]).toEqual([undefined, 0, 0]);
    });
  });
}
