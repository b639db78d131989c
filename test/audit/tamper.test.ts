import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import fc from "fast-check";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chain } from "../../src/audit/chain.js";
import { placeIn, recordId } from "../../src/audit/record.js";
import { readEnd, signEnd } from "../../src/audit/signed-end.js";
import { type Fault, Verifier } from "../../src/audit/verifier.js";
import { Secret } from "../../src/config/secret.js";
import { toRow } from "../../src/store/audit-store.js";
import { openStore, type Store } from "../../src/store/store.js";
import { TestWriter } from "../fixtures/audit.js";
import { onPostgres } from "../fixtures/on-postgres.js";
import { TestDatabase } from "../fixtures/postgres.js";

const COUNT = 6;
/** Of the last writer, dropped before anybody tampers with anything. */
const DROPPED = 2;
const { privateKey, publicKey } = generateKeyPairSync("ed25519");

interface Opened {
  readonly store: Store;
  /** What has the flag of a record as a text, where it is an integer. */
  readonly flag: string;
  /** How often a change by chance is tried. */
  readonly runs: number;
  /** By a connection of its own, with `?` for each value, or `?1`. */
  ask(sql: string, ...values: SQLInputValue[]): Promise<Readonly<Record<string, unknown>>[]>;
  close(): Promise<void>;
}

async function openOnDisk(): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), "gateway-tamper-"));
  const file = join(folder, "gateway.db");
  const store = await openStore({ kind: "sqlite", file });
  const database = new DatabaseSync(file);
  // Thousands of changes, none of which has to last.
  database.exec("pragma synchronous = off");
  return {
    store,
    // A blob may have the text of a number, and is none.
    flag: "case when typeof(listed) = 'integer' then cast(listed as text) end",
    runs: 200,
    ask: async (sql, ...values) => database.prepare(sql).all(...values),
    close: async () => {
      database.close();
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

async function openOnServer(server: string): Promise<Opened> {
  const database = await TestDatabase.create(server);
  const url = new Secret(database.url);
  const store = await openStore({ kind: "postgres", url, maxConnections: 2, queueSize: 10 });
  const client = new Client({ connectionString: database.url, options: "-c synchronous_commit=off" });
  await client.connect();
  return {
    store,
    flag: "cast(listed as text)",
    runs: 20,
    ask: async (sql, ...values) => {
      let count = 0;
      const text = sql.replace(/\?(\d*)/g, (_, number: string) => `$${number || ++count}`);
      return (await client.query(text, values)).rows;
    },
    close: async () => {
      await client.end();
      await store.close();
      await database.drop();
    },
  };
}

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

tampering("SQLite", openOnDisk);

onPostgres("a trail in a database", (server) => tampering("a Postgres server", () => openOnServer(server)));

function tampering(name: string, open: () => Promise<Opened>): void {
  describe(`a trail in a database on ${name}`, () => {
    const writers = [new TestWriter("one"), new TestWriter("two"), new TestWriter("aged")];
    let opened: Opened;
    let store: Store;
    let ids: string[];

    beforeAll(async () => {
      opened = await open();
      ({ store } = opened);
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
      await opened.ask("create table backup as select * from audit_events");
      await opened.ask("create table said as select * from audit_dropped");
    });
    afterAll(() => opened.close());

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
      change: () => Promise<unknown>,
      look = async () => {},
    ): Promise<{ fault: Fault | undefined } | undefined> {
      try {
        await change();
      } catch {
        return undefined;
      }
      const changed = await countIn("(select * from audit_events except select * from backup)");
      const count = await countIn("audit_events");
      const saidOtherwise = await countIn("(select * from said except select * from audit_dropped)");
      try {
        const fault = await verify();
        await look();
        return changed === 0 && count === ids.length && saidOtherwise === 0 ? undefined : { fault };
      } finally {
        await undo();
      }
    }

    async function countIn(rows: string): Promise<number> {
      const [row] = await run(`select count(*) as count from ${rows} as counted`);
      return Number(row?.count);
    }

    async function undo(): Promise<void> {
      await run("delete from audit_events");
      await run("insert into audit_events select * from backup");
      await run("delete from audit_dropped");
      await run("insert into audit_dropped select * from said");
    }

    const run = (sql: string, ...values: SQLInputValue[]) => opened.ask(sql, ...values);
    const anyId = () => fc.constantFrom(...ids);

    it("is whole as it was written, and with the personal values of its records erased", async () => {
      expect(await verify()).toBeUndefined();
      const erased = await verifyAfter(() =>
        run(
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
        { numRuns: opened.runs * 3 },
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
          const change = async () => {
            await run("update audit_events set listed = ? where id = ?", value, id);
            const [row] = await run(`select ${opened.flag} as flag from audit_events where id = ?`, id);
            flag = row?.flag;
            flags.push(flag);
          };
          const isHarmless = () => flag === "0" || flag === "1";
          const found = await verifyAfter(change, async () => {
            if (isHarmless()) expect(await read()).toEqual(all);
          });
          if (found) expect({ value, id: found.fault?.id }).toEqual({ value, id: isHarmless() ? undefined : id });
        }),
        {
          numRuns: opened.runs,
          examples: [0, 1, 2, Uint8Array.from([0x30])].map((value): [string, SQLInputValue] => [all[0] ?? "", value]),
        },
      );
      expect(flags).toEqual(expect.arrayContaining(["0", "1", "2"]));
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
          const found = await verifyAfter(async () => {
            const content = columns.filter((column) => !["id", "writer", "sequence"].includes(column));
            const set = content.map((column) => `${column} = (select ${column} from backup where id = ?2)`).join(", ");
            await run(`update audit_events set ${set} where id = ?1`, one, other);
            await run(`update audit_events set ${set} where id = ?1`, other, one);
          });
          expect(found).toMatchObject({ fault: { id: one } });
        }),
        { numRuns: opened.runs },
      );
    });

    it("names a record that was inserted, or the one that is missing before it", async () => {
      const inserted = columns.map((column) => (column === "id" ? "?2" : column === "sequence" ? "?3" : column));
      await fc.assert(
        fc.asyncProperty(
          anyId(),
          fc.integer({ min: -1, max: COUNT + 2 }),
          fc.string(),
          async (copied, sequence, other) => {
            const writer = placeIn(copied)?.writer ?? "";
            const fitting = recordId({ writer, sequence });
            const missing = recordId({ writer, sequence: COUNT + 1 });
            for (const id of [fitting, other, null]) {
              const insert = `insert into audit_events (${columns.join(", ")}) select ${inserted.join(", ")} from backup where id = ?1`;
              const found = await verifyAfter(() => run(insert, copied, id, sequence));
              const named = id === fitting && sequence > COUNT + 1 ? missing : String(id);
              if (found) expect({ id, named: found.fault?.id }).toEqual({ id, named });
            }
          },
        ),
        { numRuns: opened.runs },
      );
    });

    it("names what was said of a chain's beginning when that was edited, or the record that it no longer explains", async () => {
      const [said] = await run("select line from said");
      const line = String(said?.line);
      const named = [writers[2]?.idAt(0), "of what was dropped of writer aged"];
      await fc.assert(
        fc.asyncProperty(fc.nat(line.length - 1), fc.string({ maxLength: 2 }), async (at, put) => {
          const edited = line.slice(0, at) + put + line.slice(at + 1);
          const found = await verifyAfter(() => run("update audit_dropped set line = ?", edited));
          // It may be another spelling of the same.
          if (found?.fault) expect(named).toContain(found.fault.id);
          else expect(readEnd("dropped", edited, [publicKey])).toEqual(readEnd("dropped", line, [publicKey]));
        }),
        { numRuns: opened.runs * 3 },
      );
      expect(await verifyAfter(() => run("delete from audit_dropped"))).toMatchObject({ fault: { id: named[0] } });
    });

    it("names the record after one that was edited and given a fitting hash", async () => {
      const [one = expect.fail("none")] = writers;
      const second = one.records[1] ?? expect.fail("none");
      const forged = chain(one.endAt(2), { ...second, requestId: "forged" }, 1002, randomBytes);
      const edit = async () => {
        await run("delete from audit_events where id = ?", recordId(forged));
        const row: Readonly<Record<string, SQLInputValue>> = { ...toRow(forged) };
        const places = columns.map(() => "?").join(", ");
        await run(
          `insert into audit_events (${columns.join(", ")}) values (${places})`,
          ...columns.map((name) => row[name] ?? null),
        );
      };
      expect(await verifyAfter(edit)).toMatchObject({ fault: { writer: "one", sequence: 4 } });
    });
  });
}

function isDropped(id: string): boolean {
  const { writer, sequence } = placeIn(id) ?? {};
  return writer === "aged" && Number(sequence) <= DROPPED;
}
