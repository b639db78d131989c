import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ChainEnd } from "../../src/audit/chain.js";
import { Retention } from "../../src/audit/retention.js";
import { readEnd, signEnd } from "../../src/audit/signed-end.js";
import { type Fault, Verifier } from "../../src/audit/verifier.js";
import type { Store } from "../../src/store/store.js";
import { TestWriter } from "../fixtures/audit.js";
import { readRows } from "../fixtures/trail.js";
import type { OpenedTrail } from "./trail.js";

const MAX_AGE_MS = 1000;
const NOW = 100_000;
const OLD = NOW - MAX_AGE_MS - 1;
/** More than two segments. */
const MANY = 600;

const { privateKey: key, publicKey } = generateKeyPairSync("ed25519");
const other = generateKeyPairSync("ed25519");

/** What retention must do on every database. */
export function retentionConformance(name: string, open: () => Promise<OpenedTrail>): void {
  describe(`retention on ${name}`, () => {
    let opened: OpenedTrail;
    let one: TestWriter;
    let two: TestWriter;
    let dropped = 0;
    let kept: Fault[] = [];
    const failures: unknown[] = [];

    beforeEach(async () => {
      opened = await open();
      [one, two] = [new TestWriter("one"), new TestWriter("two")];
      [dropped, kept] = [0, []];
    });
    afterEach(async () => {
      await opened.close();
      expect(failures.splice(0)).toEqual([]);
    });

    interface Options {
      readonly store?: Store;
      readonly signsWith?: KeyObject;
      readonly earlierKeys?: readonly KeyObject[];
      readonly now?: number | (() => number);
      readonly elapsed?: () => number;
    }

    function retention({
      store = opened.store,
      signsWith = key,
      earlierKeys = [],
      now = NOW,
      elapsed = () => 0,
    }: Options = {}): Retention {
      return new Retention({
        reader: store.auditReader,
        store: store.audit,
        maxAgeMs: MAX_AGE_MS,
        key: signsWith,
        earlierKeys,
        now: typeof now === "number" ? () => now : now,
        elapsed,
        observe: {
          dropped: (count) => {
            dropped += count;
          },
          kept: (fault) => kept.push(fault),
          failed: (error) => failures.push(error),
          works: () => {},
        },
      });
    }

    /** A record for each of these times. */
    async function append(writer: TestWriter, times: readonly number[]): Promise<void> {
      for (const at of times) writer.add(at, { reason: "because" });
      await writer.appendTo(opened.store.audit);
    }

    async function verify(vouched: readonly ChainEnd[] = [one.end, two.end], keys = [publicKey]) {
      const ends = vouched.filter(({ sequence }) => sequence > 0).map((end) => [end.writer, end] as const);
      const verifier = new Verifier({ vouched: new Map(ends), keys: () => keys });
      for await (const batch of opened.store.auditReader.walk()) {
        for (const fault of verifier.addBatch(batch)) if (fault) return fault;
      }
      return verifier.end();
    }

    const left = async () => (await readRows(opened.ask)).map(({ writer, sequence }) => `${writer} ${sequence}`);
    const times = (count: number, at: number) => Array.from({ length: count }, () => at);

    it("drops what is older, of each chain from its beginning on, and the rest verifies", async () => {
      await append(one, [...times(MANY, OLD), NOW, NOW]);
      await append(two, [OLD, NOW - MAX_AGE_MS, NOW]);
      await retention().dropAged();
      expect(await left()).toEqual([`one ${MANY + 1}`, `one ${MANY + 2}`, "two 2", "two 3"]);
      expect({ dropped, kept }).toEqual({ dropped: MANY + 1, kept: [] });
      expect(await verify()).toBeUndefined();
    });

    describe("by a clock that is set", () => {
      let now: number;
      let elapsed: number;
      let looks: Retention;
      const YEAR_MS = 365 * 86_400_000;
      const begin = (at: number) => {
        [now, elapsed] = [at, 0];
        looks = retention({ now: () => now, elapsed: () => elapsed });
      };
      const lookAfter = async (milliseconds: number) => {
        now += milliseconds;
        elapsed += milliseconds;
        await looks.dropAged();
      };

      beforeEach(() => append(one, [OLD, NOW - MAX_AGE_MS, NOW - MAX_AGE_MS + 100, NOW]));

      it("drops nothing for having begun a year ahead, once it is right", async () => {
        begin(NOW + YEAR_MS);
        now = NOW;
        await lookAfter(0);
        expect(await left()).toEqual(["one 2", "one 3", "one 4"]);
      });

      it("drops what has aged meanwhile where it goes ahead between two looks, and the rest when it is so at the next", async () => {
        begin(NOW);
        now += YEAR_MS;
        await lookAfter(50.5);
        expect(await left()).toEqual(["one 3", "one 4"]);
        const [said] = await opened.ask<{ line: string }>("select line from audit_dropped");
        expect(readEnd("dropped", said?.line ?? "", [publicKey])).toMatchObject({ at: NOW + 50 - MAX_AGE_MS });
        await lookAfter(50);
        expect(await left()).toEqual([]);
        expect(await verify()).toBeUndefined();
      });

      it("drops nothing as soon as it begins", async () => {
        const begun = retention();
        begun.start();
        await setTimeout(50);
        await begun.stop();
        expect(dropped).toBe(0);
      });
    });

    it("leaves one signed end of a chain of which nothing is left, and goes on from it", async () => {
      await append(one, times(3, OLD));
      await append(two, times(2, OLD));
      await retention().dropAged();
      expect(await left()).toEqual([]);
      expect(await verify()).toBeUndefined();
      for (const at of [NOW, NOW + 1]) one.add(at);
      await opened.store.audit.append(one.records.slice(3));
      expect(await verify()).toBeUndefined();
      await retention({ now: NOW + MAX_AGE_MS + 1 }).dropAged();
      expect(await left()).toEqual(["one 5"]);
      expect(await opened.ask("select writer from audit_dropped order by writer")).toEqual([
        { writer: "one" },
        { writer: "two" },
      ]);
      expect(await verify()).toBeUndefined();
    });

    it("forgets who has written when nothing of theirs is left, and nobody else", async () => {
      await append(one, times(3, OLD));
      await append(two, [OLD, NOW]);
      await retention().dropAged();
      expect(await opened.ask("select writer from audit_writers")).toEqual([{ writer: "two" }]);
    });

    it("keeps a record that stands behind a younger one, whatever its clock said", async () => {
      await append(one, [OLD, NOW, OLD, OLD]);
      await retention().dropAged();
      expect(await left()).toEqual(["one 2", "one 3", "one 4"]);
    });

    it("keeps a chain that is not whole, says so at each look, and goes on with the others", async () => {
      await append(one, times(5, OLD));
      await append(two, times(2, OLD));
      await opened.ask("update audit_events set request_id = 'x' where writer = 'one' and sequence = 3");
      for (const looks of [1, 2]) {
        await retention().dropAged();
        expect(kept.map(({ id }) => id)).toEqual(Array(looks).fill(one.idAt(2)));
      }
      expect(await left()).toEqual([1, 2, 3, 4, 5].map((sequence) => `one ${sequence}`));
      expect(dropped).toBe(2);
    });

    it("keeps what is not as the gateway writes records, and goes on behind it", async () => {
      await append(one, times(2, OLD));
      await append(two, times(2, OLD));
      await opened.ask("update audit_events set id = 'aud_on' where writer = 'one' and sequence = 1");
      await retention().dropAged();
      expect(kept.map(({ id }) => id)).toEqual(["aud_on", one.idAt(0)]);
      expect(await left()).toEqual(["one 1", "one 2"]);
    });

    const oddIds: [string, string][] = [
      ["none", "null"],
      ["bytes", "x'6162'"],
      ["a text that is no UTF-8", "cast(x'6175645f6fff5f303030303030303030303031' as text)"],
    ];
    it.runIf(name === "SQLite").each(oddIds)(
      "looks once at a row whose id is %s, and drops what is behind it",
      async (_, id) => {
        const odd = new TestWriter("odd");
        await append(odd, [OLD]);
        await append(one, times(2, OLD));
        await append(two, [OLD, NOW]);
        await opened.ask(`update audit_events set id = ${id} where writer = 'odd'`);
        await retention().dropAged();
        expect(await left()).toEqual(["odd 1", "two 2"]);
        expect(kept.length).toBeLessThanOrEqual(1);
      },
    );

    it("drops each record once, though two processes look at the same time", async () => {
      await append(one, [...times(MANY, OLD), NOW]);
      await append(two, [...times(MANY, OLD), NOW]);
      // Two connections of one process to a SQLite file may lock each other out; who fails looks again.
      await Promise.allSettled([retention().dropAged(), retention({ store: opened.other }).dropAged()]);
      await retention().dropAged();
      expect({ dropped, kept }).toEqual({ dropped: 2 * MANY, kept: [] });
      expect(await verify()).toBeUndefined();
    });

    it("drops nothing by what it read before somebody else dropped more", async () => {
      await append(one, [OLD, OLD, OLD]);
      const drop = (sequence: number, said?: string) => {
        const [first, last] = [one.endAt(1), one.endAt(sequence)];
        return opened.store.audit.drop({ first, last, line: `line ${sequence}`, said });
      };
      expect(await drop(1)).toBe(true);
      expect(await drop(2)).toBe(false);
      expect(await drop(2, "line 1")).toBe(true);
      expect(await drop(3, "line 1")).toBe(false);
      expect(await left()).toEqual(["one 3"]);
    });

    it("goes on from what an earlier key has signed, and from what no other has", async () => {
      await append(one, [OLD, OLD, NOW, NOW + 1, NOW + 2]);
      await retention({ signsWith: other.privateKey }).dropAged();
      const later = { now: NOW + MAX_AGE_MS + 2 };
      await retention(later).dropAged();
      expect({ dropped, kept }).toMatchObject({
        dropped: 2,
        kept: [{ id: "of what was dropped of writer one", reason: "it is signed with another key" }],
      });
      expect(await verify()).toMatchObject({ reason: "it is signed with another key" });
      expect(await verify(undefined, [publicKey, other.publicKey])).toBeUndefined();
      await retention({ ...later, earlierKeys: [other.publicKey] }).dropAged();
      expect(dropped).toBe(4);
      expect(await verify()).toBeUndefined();
    });

    it("drops nothing of a chain that has the line of another, and verification names that", async () => {
      await append(two, [OLD, NOW]);
      // Whose time would be told of the records of the first one.
      await retention({ now: NOW + MAX_AGE_MS + 1 }).dropAged();
      await append(one, [OLD, OLD, NOW]);
      await opened.ask("update audit_dropped set writer = 'one'");
      await retention().dropAged();
      const fault = { id: "of what was dropped of writer one", reason: "it is that of writer two" };
      expect(kept).toMatchObject([fault]);
      expect(await left()).toEqual(["one 1", "one 2", "one 3"]);
      expect(await verify()).toMatchObject(fault);
    });

    it("has a chain that was made anew, of records that are old enough, not look as if it had been dropped", async () => {
      await append(one, times(4, NOW));
      await opened.ask("delete from audit_events");
      const forged = new TestWriter("one");
      // One more, so that none stands where the checkpoint does.
      await append(forged, times(5, OLD));
      await retention().dropAged();
      expect(dropped).toBe(5);
      expect(await verify([one.end])).toMatchObject({ writer: "one", reason: expect.stringContaining("was younger") });
    });

    it("goes on behind what it has dropped, and does not begin anew for each segment", async () => {
      await append(one, times(MANY, OLD));
      const asked: unknown[] = [];
      const batch = opened.store.auditReader.batch.bind(opened.store.auditReader);
      opened.store.auditReader.batch = async (after, limit) => {
        asked.push(after);
        return await batch(after, limit);
      };
      await retention().dropAged();
      expect(asked.filter((after) => after === "")).toHaveLength(2);
      expect(await left()).toEqual([]);
    });

    it("leaves ends, however many, that a walk comes upon in bounded batches, each once, and before what is left", async () => {
      const writers = Array.from({ length: 2500 }, (_, number) => `w${1000 + number}`);
      const values = writers.map((writer) => `('${writer}', 'line')`).join(", ");
      await opened.ask(`insert into audit_dropped (writer, line) values ${values}`);
      const left = [1200, 1300, 1301].map((number) => writers[number] ?? expect.fail("none"));
      for (const [index, count] of [1, 1500, 1].entries())
        await append(new TestWriter(left[index] ?? ""), times(count, NOW));
      const [said, found]: [string[], string[]] = [[], []];
      for await (const { dropped, records } of opened.store.auditReader.walk()) {
        expect(Math.max(dropped.length, records.length)).toBeLessThanOrEqual(1000);
        said.push(...dropped.map(({ writer }) => writer));
        found.push(...records.map(({ record }) => record?.writer ?? expect.fail("not ours")));
        expect(said).toEqual(expect.arrayContaining(found));
      }
      expect(found).toHaveLength(1502);
      const alone = (writer: string) => !left.includes(writer);
      expect(said.filter(alone)).toEqual(writers.filter(alone));
      // Again of whom a batch goes on from.
      expect(said.filter((writer) => !alone(writer)).sort()).toEqual([...left, left[1], left[2]].sort());
      expect((await opened.store.auditReader.batch("", 1)).dropped).toMatchObject([{ writer: left[0] }]);
    });

    describe("is told by verification from", () => {
      beforeEach(async () => {
        await append(one, [OLD, OLD, NOW, NOW, NOW]);
        await retention().dropAged();
      });
      const sign = (statement: "checkpoint" | "dropped", sequence: number, signer = key) => {
        const line = signEnd(statement, { ...one.endAt(sequence), at: NOW }, signer);
        return opened.ask(`update audit_dropped set line = '${line}'`);
      };
      const restore = (sequence: number) =>
        opened.store.audit.append([one.records[sequence - 1] ?? expect.fail("no such record")]);

      const tamperings: [string, () => Promise<unknown>, string][] = [
        ["a beginning that is gone without a word", () => opened.ask("delete from audit_dropped"), "one 1"],
        ["more that was removed behind it", () => opened.ask("delete from audit_events where sequence = 3"), "one 3"],
        [
          "more that was removed behind it, with a checkpoint put in its place",
          async () => {
            await opened.ask("delete from audit_events where sequence <= 4");
            await sign("checkpoint", 4);
          },
          "of what was dropped of writer one",
        ],
        [
          "more that was removed behind it, in a line of another's key",
          async () => {
            await opened.ask("delete from audit_events where sequence <= 4");
            await sign("dropped", 4, other.privateKey);
          },
          "of what was dropped of writer one",
        ],
        ["an earlier line put back", () => sign("dropped", 1), "one 2"],
        ["a record put back", () => restore(2), "one 2"],
        [
          "a line that was spoilt",
          () => opened.ask("update audit_dropped set line = substr(line, 1, 50)"),
          "of what was dropped of writer one",
        ],
        [
          "everything removed with the line",
          async () => {
            await opened.ask("delete from audit_dropped");
            await opened.ask("delete from audit_events");
          },
          "one 1",
        ],
      ];
      it.each(tamperings)("%s", async (_, tamper, where) => {
        expect(await verify()).toBeUndefined();
        await tamper();
        const { writer, sequence, id } = (await verify()) ?? expect.fail("it is whole");
        expect(sequence === null ? id : `${writer} ${sequence}`).toBe(where);
      });
    });
  });
}
