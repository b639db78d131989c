import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chain } from "../../src/audit/chain.js";
import { placeIn, recordId } from "../../src/audit/record.js";
import { readEnd, signEnd } from "../../src/audit/signed-end.js";
import { type Fault, Verifier } from "../../src/audit/verifier.js";
import { toRow } from "../../src/store/audit-store.js";
import { openStore, type Store } from "../../src/store/store.js";
import { TestWriter } from "../fixtures/audit.js";

const COUNT = 6;
const RUNS = 200;

const folder = mkdtempSync(join(tmpdir(), "gateway-tamper-"));
const file = join(folder, "gateway.db");
const writers = [new TestWriter("one"), new TestWriter("two"), new TestWriter("aged")];
/** Of the last writer, dropped before anybody tampers with anything. */
const DROPPED = 2;
const { privateKey, publicKey } = generateKeyPairSync("ed25519");
let store: Store;
let database: DatabaseSync;
let ids: string[];

beforeAll(async () => {
  store = await openStore({ kind: "sqlite", file });
  for (const writer of writers) {
    for (let number = 0; number < COUNT; number++) {
      writer.add(1000 + number, {
        identityId: number % 2 ? "idn_1" : null,
        actor: number % 3 ? { issuer: "https://i.example.com", subject: `s${number}` } : null,
        scopes: number % 2 ? ["CHAT", "VOIP"] : null,
        tokenExpiresOn: number % 2 ? 9000 : null,
        reason: number % 4 ? "because" : null,
      });
    }
    await writer.appendTo(store.audit);
  }
  const aged = writers[2] ?? expect.fail("none");
  const [first, last] = [aged.records[0] ?? expect.fail("none"), aged.endAt(DROPPED)];
  const line = signEnd("dropped", { ...last, at: last.at + 1 }, privateKey);
  await store.audit.drop({ first, last, line, said: undefined });
  ids = writers.flatMap((writer) => writer.records.map(recordId)).filter((id) => !isDropped(id));
  database = new DatabaseSync(file);
  // Thousands of changes, none of which has to last.
  database.exec(
    "pragma synchronous = off; create table backup as select * from audit_events; create table said as select * from audit_dropped",
  );
});
afterAll(async () => {
  database.close();
  await store.close();
  rmSync(folder, { recursive: true });
});

function isDropped(id: string): boolean {
  const { writer, sequence } = placeIn(id) ?? {};
  return writer === "aged" && Number(sequence) <= DROPPED;
}

/** Of the trail as it is now, with a checkpoint of each writer as it was. */
async function verify(): Promise<Fault | undefined> {
  const vouched = new Map(writers.map(({ end }) => [end.writer, end]));
  const verifier = new Verifier({ vouched, keys: () => [publicKey] });
  for await (const batch of store.auditReader.walk()) {
    for (const fault of verifier.addBatch(batch)) if (fault) return fault;
  }
  return verifier.end();
}

/**
 * What verification finds after the change, which is looked at and undone again. Undefined when the database did not let it
 * happen.
 */
async function verifyAfter(
  change: () => void,
  look = async () => {},
): Promise<{ fault: Fault | undefined } | undefined> {
  try {
    change();
  } catch {
    return undefined;
  }
  const [changed, count, saidOtherwise] = [
    "select count(*) as count from (select * from audit_events except select * from backup)",
    "select count(*) as count from audit_events",
    "select count(*) as count from (select * from said except select * from audit_dropped)",
  ].map((sql) => database.prepare(sql).get()?.count);
  try {
    const fault = await verify();
    await look();
    return changed === 0 && count === ids.length && saidOtherwise === 0 ? undefined : { fault };
  } finally {
    database.exec(
      "begin; delete from audit_events; insert into audit_events select * from backup; delete from audit_dropped; insert into audit_dropped select * from said; commit",
    );
  }
}

const run = (sql: string, ...values: SQLInputValue[]) => database.prepare(sql).run(...values);
const anyId = () => fc.constantFrom(...ids);
const columns = [
  "id",
  "writer",
  "sequence",
  "at",
  "action",
  "phase",
  "identity_id",
  "actor_issuer",
  "actor_subject",
  "actor_salt",
  "actor_commitment",
  "scopes",
  "token_fingerprint",
  "token_expires_on",
  "reason",
  "reason_salt",
  "reason_commitment",
  "request_id",
  "client_name",
  "client_version",
  "hash",
];
const anyValue = fc.oneof(
  fc.string(),
  fc.constant(""),
  fc.constant(null),
  fc.integer(),
  fc.double({ noNaN: true }),
  fc.bigInt({ min: 2n ** 60n, max: 2n ** 62n }),
  fc.uint8Array({ maxLength: 5 }),
  fc.constantFrom(...["one", "two", "OUTCOME", "INTENT", "TOKEN_REUSED", "CHAT", "CHAT  VOIP", "VOIP CHAT", "s1"]),
);

describe("a trail in a database", () => {
  it("is whole as it was written, and with the personal values of its records erased", async () => {
    expect(await verify()).toBeUndefined();
    const erased = await verifyAfter(() =>
      database.exec(
        "update audit_events set actor_issuer = null, actor_subject = null, actor_salt = null, reason = null, reason_salt = null",
      ),
    );
    expect(erased).toEqual({ fault: undefined });
  });

  it("names the record in which anything was edited", async () => {
    await fc.assert(
      fc.asyncProperty(anyId(), fc.constantFrom(...columns), anyValue, async (id, column, value) => {
        const found = await verifyAfter(() => run(`update audit_events set ${column} = ? where id = ?`, value, id));
        if (found === undefined) return;
        if (column === "id") {
          // Under the old id it is missing; if the new one comes first, it is not one of ours.
          expect(ids.filter((other) => other !== id)).not.toContain(found.fault?.id ?? ids.at(-1));
        } else {
          expect({ column, value, id: found.fault?.id }).toEqual({ column, value, id });
        }
      }),
      { numRuns: RUNS * 3 },
    );
  });

  it("names the record that is kept from readers by what says that it is listed, or they read it as ever", async () => {
    const read = async () =>
      (await store.auditReader.page({ filter: { identityId: "idn_1" }, limit: 100, backward: true })).map(
        ({ id }) => id,
      );
    const all = await read();
    const anyFlag = fc.oneof(anyValue, fc.constantFrom<SQLInputValue[]>(0, 1, 2, -1, "0", "1", 1.5, "listed"));
    const flags: unknown[] = [];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...all), anyFlag, async (id, value) => {
        let flag: unknown;
        const change = () => {
          run("update audit_events set listed = ? where id = ?", value, id);
          // A blob may have the text of a number, and is none.
          const number = "case when typeof(listed) = 'integer' then cast(listed as text) end";
          flag = database.prepare(`select ${number} as flag from audit_events where id = ?`).get(id)?.flag;
          flags.push(flag);
        };
        const isHarmless = () => flag === "0" || flag === "1";
        const found = await verifyAfter(change, async () => {
          if (isHarmless()) expect(await read()).toEqual(all);
        });
        if (found) expect({ value, id: found.fault?.id }).toEqual({ value, id: isHarmless() ? undefined : id });
      }),
      { numRuns: RUNS, examples: [[all[0] ?? "", Uint8Array.from([0x30])]] },
    );
    expect(flags).toEqual(expect.arrayContaining(["0", "1", "2", null]));
  });

  it("names the record that was removed, the last one of a writer too", async () => {
    for (const id of ids) {
      expect(await verifyAfter(() => run("delete from audit_events where id = ?", id))).toMatchObject({
        fault: { id },
      });
    }
  });

  it("names the first of those that were cut off, however many", async () => {
    for (let from = 1; from <= COUNT; from++) {
      const cut = () => run("delete from audit_events where writer = 'two' and sequence >= ?", from);
      expect(await verifyAfter(cut)).toMatchObject({ fault: { writer: "two", sequence: from } });
    }
  });

  it("names the first of two records that changed places", async () => {
    await fc.assert(
      fc.asyncProperty(anyId(), anyId(), async (one, other) => {
        fc.pre(one < other);
        const found = await verifyAfter(() => {
          const content = columns.filter((column) => !["id", "writer", "sequence"].includes(column));
          const set = content.map((column) => `${column} = (select ${column} from backup where id = ?2)`).join(", ");
          run(`update audit_events set ${set} where id = ?1`, one, other);
          run(`update audit_events set ${set} where id = ?1`, other, one);
        });
        expect(found).toMatchObject({ fault: { id: one } });
      }),
      { numRuns: RUNS },
    );
  });

  it("names a record that was inserted, or the one whose place it took", async () => {
    const inserted = columns.map((column) => (column === "id" ? "?2" : column === "sequence" ? "?3" : column));
    await fc.assert(
      fc.asyncProperty(
        anyId(),
        fc.integer({ min: -1, max: COUNT + 2 }),
        fc.string(),
        async (copied, sequence, other) => {
          const [, writer] = /^aud_(.+)_/.exec(copied) ?? [];
          const fitting = `aud_${writer}_${String(sequence).padStart(12, "0")}`;
          for (const id of [fitting, other, null]) {
            const insert = `insert into audit_events (${columns.join(", ")}) select ${inserted.join(", ")} from backup where id = ?1`;
            const found = await verifyAfter(() => run(insert, copied, id, sequence));
            if (found) expect({ id, found: found.fault }).toMatchObject({ id, found: { id: expect.any(String) } });
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  it("names what was said of a chain's beginning when that was edited, or the record that it no longer explains", async () => {
    const { line } = database.prepare("select line from said").get() as { line: string };
    const named = [writers[2]?.idAt(0), "of what was dropped of writer aged"];
    await fc.assert(
      fc.asyncProperty(fc.nat(line.length - 1), fc.string({ maxLength: 2 }), async (at, put) => {
        const edited = line.slice(0, at) + put + line.slice(at + 1);
        const found = await verifyAfter(() => run("update audit_dropped set line = ?", edited));
        // It may be another spelling of the same.
        if (found?.fault) expect(named).toContain(found.fault.id);
        else expect(readEnd("dropped", edited, [publicKey])).toEqual(readEnd("dropped", line, [publicKey]));
      }),
      { numRuns: RUNS * 3 },
    );
    expect(await verifyAfter(() => run("delete from audit_dropped"))).toMatchObject({ fault: { id: named[0] } });
  });

  it("names the record after one that was edited and given a fitting hash", async () => {
    const [one = expect.fail("none")] = writers;
    const second = one.records[1] ?? expect.fail("none");
    const forged = chain(one.endAt(2), { ...second, requestId: "forged" }, 1002, randomBytes);
    const edit = () => {
      run("delete from audit_events where id = ?", recordId(forged));
      const row: Readonly<Record<string, SQLInputValue>> = { ...toRow(forged) };
      const places = columns.map(() => "?").join(", ");
      run(
        `insert into audit_events (${columns.join(", ")}) values (${places})`,
        ...columns.map((name) => row[name] ?? null),
      );
    };
    expect(await verifyAfter(edit)).toMatchObject({ fault: { writer: "one", sequence: 4 } });
  });
});
