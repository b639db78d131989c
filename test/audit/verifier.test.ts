import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ChainEnd, chain } from "../../src/audit/chain.js";
import { readLine, writeLine } from "../../src/audit/export-line.js";
import { recordId } from "../../src/audit/record.js";
import { type Fault, Verifier } from "../../src/audit/verifier.js";
import { TestWriter } from "../fixtures/audit.js";

const COUNT = 8;

function writers(): TestWriter[] {
  return ["one", "two"].map((name) => {
    const writer = new TestWriter(name);
    for (let number = 0; number < COUNT; number++) {
      writer.add(1000 + number, {
        identityId: number % 2 ? "idn_1" : null,
        actor: number % 3 ? { issuer: "https://i.example.com", subject: `s${number}` } : null,
        scopes: number % 2 ? ["CHAT", "VOIP"] : null,
        reason: number % 4 ? "because" : null,
      });
    }
    return writer;
  });
}

const exported = ({ records }: TestWriter) =>
  records.map((record, index) =>
    writeLine({ ...record, id: recordId(record), previousHash: records[index - 1]?.hash ?? "" }),
  );

function verify(lines: readonly string[], vouched: readonly ChainEnd[] = []): Fault | undefined {
  const verifier = new Verifier({ vouched: new Map(vouched.map((end) => [end.writer, end])) });
  for (const [index, line] of lines.entries()) {
    const record = readLine(line);
    if (record === undefined) return { writer: null, sequence: null, id: `line ${index + 1}`, reason: "not ours" };
    const fault = verifier.add(record, record.previousHash);
    if (fault) return fault;
  }
  return verifier.end();
}

const whole = writers();
const lines = whole.flatMap(exported);
const ends = whole.map(({ end }) => end);

/** As whoever removed everything up to there would go on. */
function forgedAfter(end: ChainEnd): string[] {
  const record = chain(end, (whole[0]?.records ?? [])[0] ?? expect.fail("none"), 2000, randomBytes);
  return [writeLine({ ...record, id: recordId(record), previousHash: end.hash })];
}

describe("an exported trail", () => {
  it("is whole as it was exported, also when its writers alternate", () => {
    expect(verify(lines, ends)).toBeUndefined();
    const [one = [], two = []] = whole.map(exported);
    expect(verify(one.flatMap((line, index) => [line, two[index] ?? ""]))).toBeUndefined();
  });

  it("has no character in a line at which a reader might end it", () => {
    const writer = new TestWriter("one");
    const reason = "a\u2028b\u2029c\rd\ne\u0085f";
    writer.add(1000, { reason, clientName: "\u2028" });
    const [line = ""] = exported(writer);
    expect(line.split(/[\n\r\u2028\u2029]/)).toHaveLength(1);
    expect(readLine(line)).toMatchObject({ reason, clientName: "\u2028" });
    expect(verify([line], [writer.end])).toBeUndefined();
  });

  it("is whole after the personal values of any of its records were erased", () => {
    const erased = whole.flatMap(({ records }) =>
      records.map((record, index) => ({
        ...record,
        id: recordId(record),
        previousHash: records[index - 1]?.hash ?? "",
        actor: null,
        actorSeal: { ...record.actorSeal, salt: null },
        reason: null,
        reasonSeal: { ...record.reasonSeal, salt: null },
      })),
    );
    expect(verify(erased.map(writeLine), ends)).toBeUndefined();
  });

  it("may begin in the middle of a chain, and is held to what its first line says of the one before", () => {
    const part = exported(whole[0] ?? expect.fail("none")).slice(3);
    expect(verify(part)).toBeUndefined();
    const [first = "", ...rest] = part;
    const lie = JSON.stringify({ ...JSON.parse(first), previousHash: "x" });
    expect(verify([lie, ...rest])).toMatchObject({ writer: "one", sequence: 4 });
  });

  it("names the line with any change of any character", () => {
    fc.assert(
      fc.property(fc.nat(lines.length - 1), fc.nat(), fc.string({ minLength: 0, maxLength: 2 }), (at, where, put) => {
        const line = lines[at] ?? "";
        const place = where % line.length;
        const changed = line.slice(0, place) + put + line.slice(place + 1);
        fc.pre(changed !== line);
        const fault = verify(lines.with(at, changed), ends);
        const named = /"id":"([^"]*)"/.exec(line)?.[1];
        expect([`line ${at + 1}`, named]).toContain(fault?.id);
      }),
      { numRuns: 2000 },
    );
  });

  it("names what is missing wherever lines were taken out", () => {
    fc.assert(
      fc.property(fc.nat(COUNT - 1), fc.integer({ min: 1, max: COUNT }), (from, count) => {
        const [one = [], two = []] = whole.map(exported);
        const fault = verify([...two, ...one.toSpliced(from, count)], ends);
        const isBeginning = from === 0 && count < COUNT;
        // A part is told from a whole by nothing but its beginning, which the result says.
        if (isBeginning) expect(fault).toBeUndefined();
        else expect(fault).toMatchObject({ writer: "one", sequence: from + 1 });
      }),
    );
  });

  it("names the first of two that were exchanged", () => {
    fc.assert(
      fc.property(fc.nat(COUNT - 1), fc.nat(COUNT - 1), (a, b) => {
        fc.pre(a < b && a > 0);
        const [one = []] = whole.map(exported);
        const fault = verify(one.with(a, one[b] ?? "").with(b, one[a] ?? ""));
        expect(fault).toMatchObject({ writer: "one", sequence: a + 1 });
      }),
    );
  });

  it("names a record that does not follow from the one before, whoever made up its hash", () => {
    const forged = new TestWriter("one");
    for (const { at } of whole[0]?.records ?? []) forged.add(at, { requestId: randomBytes(4).toString("hex") });
    const [one = []] = whole.map(exported);
    expect(verify([...one.slice(0, 4), ...exported(forged).slice(4)])).toMatchObject({ writer: "one", sequence: 5 });
    // All of it anew, from its beginning: only a checkpoint tells.
    expect(verify(exported(forged))).toBeUndefined();
    expect(verify(exported(forged), ends.slice(0, 1))).toMatchObject({
      writer: "one",
      sequence: COUNT,
      reason: "it is not the one that a checkpoint stands for",
    });
  });

  it("names the record that a checkpoint stands for in a part that begins after it, forged or not", () => {
    const [one] = whole;
    const { writer } = one ?? expect.fail("none");
    const vouched = one?.endAt(5) ?? expect.fail("none");
    expect(verify(lines.slice(6, COUNT), [vouched])).toEqual({
      writer,
      sequence: 5,
      id: "aud_one_000000000005",
      reason: "it is missing: a checkpoint stands for it, and what there is begins with 7",
    });
    expect(verify(forgedAfter({ ...vouched, hash: "anything" }), [vouched])).toMatchObject({
      writer,
      sequence: 6,
      reason: "the record before it is not the one that a checkpoint stands for",
    });
  });

  it("may begin with the record after the one that a checkpoint stands for", () => {
    const vouched = whole[0]?.endAt(5) ?? expect.fail("none");
    for (const from of [0, 3, 4, 5]) expect(verify(lines.slice(from, COUNT), [vouched])).toBeUndefined();
    expect(verify(lines.slice(0, 4), [vouched])).toMatchObject({ sequence: 5 });
  });

  it("names a writer that a checkpoint stands for and that is not there at all", () => {
    expect(verify(exported(whole[0] ?? expect.fail("none")), ends)).toMatchObject({
      writer: "two",
      sequence: 1,
      reason: `the whole writer is missing: a checkpoint stands for ${COUNT} of its records`,
    });
  });
});
