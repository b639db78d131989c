import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ChainEnd, chain, GENESIS, isErased } from "../../src/audit/chain.js";
import type { AuditEvent, AuditRecord } from "../../src/audit/record.js";
import { faultIn } from "../fixtures/trail.js";

const text = fc.string({ unit: "binary" });
const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: null });
const scope = fc.constantFrom("CHAT" as const, "CHAT_JOIN" as const, "VOIP" as const);
const time = fc.integer({ min: 0, max: 2 ** 50 });

const event: fc.Arbitrary<AuditEvent> = fc.record({
  action: fc.constantFrom("TOKEN_ISSUED" as const, "TOKEN_REFUSED" as const, "IDENTITY_DELETED" as const),
  phase: fc.constantFrom("INTENT" as const, "OUTCOME" as const),
  identityId: optional(text),
  actor: optional(fc.record({ issuer: text, subject: text })),
  scopes: optional(fc.array(scope)),
  tokenFingerprint: optional(text),
  tokenExpiresOn: optional(time),
  reason: optional(text),
  requestId: text,
  clientName: optional(text),
  clientVersion: optional(text),
});

/** As the version before made it. */
const OLD: AuditRecord = {
  action: "TOKEN_REUSED",
  phase: "OUTCOME",
  identityId: "idn_1",
  actor: { issuer: "https://issuer.example.com", subject: "alice" },
  scopes: ["CHAT"],
  tokenFingerprint: "fp",
  tokenExpiresOn: 86_400_000,
  reason: null,
  requestId: "r",
  clientName: null,
  clientVersion: null,
  writer: "w",
  sequence: 1,
  at: 1000,
  actorSeal: { salt: "X-zrZv_IbzjZUnhsbWlseQ", commitment: "1A71_LScMP4By9Bd5OLtTOgvfg-RU47J8ixmD98hvdY" },
  reasonSeal: { salt: "a4ayc_80_OGda4BO_1o_Vw", commitment: "fkLlMQWWf1-k1R-WKn33aIReRzV6dRcldqAK3-JC4aA" },
  hash: "mbWaFDmo7Q0-416D56eKpywE87bXYoXJ7E77al8K1Vs",
};

const records = (minLength: number) =>
  fc.array(fc.tuple(event, time), { minLength, maxLength: 8 }).map((events) => chained(events));

function chained(events: readonly (readonly [AuditEvent, number])[], writer = "w"): AuditRecord[] {
  let end: ChainEnd = { writer, sequence: 0, hash: GENESIS, at: 0 };
  return events.map(([what, at]) => {
    const record = chain(end, what, at, randomBytes);
    end = record;
    return record;
  });
}

const place = (chain: readonly AuditRecord[], choice: number) => choice % chain.length;

function replaced(chain: readonly AuditRecord[], index: number, changes: object): AuditRecord[] {
  return chain.map((record, at) => (at === index ? { ...record, ...changes } : record));
}

const SEALED = ["actorSeal", "reasonSeal"] as const;
/** What each column could be changed to. */
const FIELDS: readonly (readonly [keyof AuditRecord, fc.Arbitrary<unknown>])[] = [
  ["writer", text],
  ["sequence", fc.integer()],
  ["at", time],
  ["action", fc.oneof(text, fc.constantFrom("TOKEN_ISSUED", "TOKEN_REUSED"))],
  ["phase", fc.constantFrom("INTENT", "OUTCOME")],
  ["identityId", optional(text)],
  ["actor", optional(fc.record({ issuer: text, subject: text }))],
  ["scopes", optional(fc.array(scope))],
  ["tokenFingerprint", optional(text)],
  ["tokenExpiresOn", optional(time)],
  ["reason", optional(text)],
  ["requestId", text],
  ["clientName", optional(text)],
  ["clientVersion", optional(text)],
  ["hash", text],
];

describe("a chain of records", () => {
  it("is whole as it was made", () => {
    fc.assert(
      fc.property(records(0), (chain) => {
        expect(faultIn(chain)).toBeUndefined();
      }),
    );
  });

  it.each(FIELDS)("shows that the field %s of any record was changed", (field, values) => {
    fc.assert(
      fc.property(records(1), fc.nat(), values, (chain, choice, value) => {
        const index = place(chain, choice);
        fc.pre(JSON.stringify(chain[index]?.[field]) !== JSON.stringify(value));
        expect(faultIn(replaced(chain, index, { [field]: value }))).toContain("record ");
      }),
    );
  });

  it.each([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "shows that %s was put where a token has no time",
    (tokenExpiresOn) => {
      fc.assert(
        fc.property(records(1), fc.nat(), (chain, choice) => {
          const index = place(chain, choice);
          expect(faultIn(replaced(chain, index, { tokenExpiresOn }))).toContain("record ");
        }),
      );
    },
  );

  it.each(SEALED)("shows that salt or commitment in %s of any record was changed", (field) => {
    fc.assert(
      fc.property(
        records(1),
        fc.nat(),
        fc.constantFrom("salt" as const, "commitment" as const),
        text,
        (chain, choice, part, value) => {
          const index = place(chain, choice);
          const seal = chain[index]?.[field];
          fc.pre(seal?.[part] !== value);
          expect(faultIn(replaced(chain, index, { [field]: { ...seal, [part]: value } }))).toContain("record ");
        },
      ),
    );
  });

  it("shows that a value was made up for one that was erased", () => {
    fc.assert(
      fc.property(records(1), fc.nat(), text, text, (chain, choice, issuer, reason) => {
        const index = place(chain, choice);
        for (const forged of [{ actor: { issuer, subject: "s" } }, { reason }]) {
          const changed = replaced(erased(chain, index), index, forged);
          expect(faultIn(changed)).toContain("record ");
        }
      }),
    );
  });

  it("shows that a salt was taken and its value left", () => {
    fc.assert(
      fc.property(records(1), fc.nat(), fc.constantFrom(...SEALED), (chain, choice, field) => {
        const index = place(chain, choice);
        const record = chain[index] ?? expect.fail("no record");
        fc.pre((field === "actorSeal" ? record.actor : record.reason) !== null);
        expect(faultIn(replaced(chain, index, { [field]: { ...record[field], salt: null } }))).toContain("record ");
      }),
    );
  });

  it("shows that any record but the last was removed", () => {
    fc.assert(
      fc.property(records(2), fc.nat(), (chain, choice) => {
        const index = choice % (chain.length - 1);
        expect(faultIn(chain.filter((_, at) => at !== index))).toContain(`record ${index + 2}`);
      }),
    );
  });

  it("shows that two records changed places, also when their numbers did too", () => {
    fc.assert(
      fc.property(records(2), fc.nat(), (chain, choice) => {
        const at = choice % (chain.length - 1);
        const [one, two] = [chain[at] ?? expect.fail(), chain[at + 1] ?? expect.fail()];
        const swapped = [...chain.slice(0, at), two, one, ...chain.slice(at + 2)];
        expect(faultIn(swapped)).toContain("record ");
        expect(faultIn(swapped.map((record, index) => ({ ...record, sequence: index + 1 })))).toContain("record ");
      }),
    );
  });

  it("shows that a record was inserted, also one that fits to what is before it", () => {
    fc.assert(
      fc.property(records(1), fc.nat(), event, time, (chain, choice, what, at) => {
        const index = place(chain, choice);
        const forgery = chained([...chain.slice(0, index).map((record) => [record, record.at] as const), [what, at]]);
        const last = forgery[index] ?? expect.fail();
        expect(faultIn([...chain.slice(0, index), last, ...chain.slice(index)])).toContain("record ");
        const renumbered = chain.slice(index).map((record) => ({ ...record, sequence: record.sequence + 1 }));
        expect(faultIn([...chain.slice(0, index), last, ...renumbered])).toContain("record ");
      }),
    );
  });

  it("shows that a record is of another writer", () => {
    fc.assert(
      fc.property(records(2), fc.nat(), (chain, choice) => {
        const index = place(chain, choice);
        const others = chained(
          chain.map((record) => [record, record.at]),
          "other",
        );
        expect(faultIn(chain.map((record, at) => (at === index ? (others[at] ?? record) : record)))).toContain(
          "record ",
        );
      }),
    );
  });

  it("stays whole when personal values of any records are erased", () => {
    fc.assert(
      fc.property(records(1), fc.array(fc.nat(), { minLength: 1 }), (chain, choices) => {
        const after = choices.reduce((left, choice) => erased(left, place(left, choice)), chain);
        expect(faultIn(after)).toBeUndefined();
      }),
    );
  });

  it("seals the same value differently each time, so that an erased one cannot be guessed", () => {
    fc.assert(
      fc.property(event, time, (what, at) => {
        const [one, two] = chained([
          [what, at],
          [what, at],
        ]);
        if (what.actor !== null) expect(one?.actorSeal.commitment).not.toBe(two?.actorSeal.commitment);
        if (what.reason !== null) expect(one?.reasonSeal.commitment).not.toBe(two?.reasonSeal.commitment);
      }),
    );
  });

  it("is whole with a record of an earlier version, which sealed what was not there, too", () => {
    expect(faultIn([OLD])).toBeUndefined();
    expect(isErased(OLD.reasonSeal)).toBe(false);
    const forgery = { ...OLD, reasonSeal: { ...OLD.reasonSeal, commitment: "" } };
    expect(faultIn([forgery])).toContain("record ");
    const withoutSalt = { ...OLD, reasonSeal: { ...OLD.reasonSeal, salt: null } };
    expect(faultIn([withoutSalt])).toBeUndefined();
    expect(isErased(withoutSalt.reasonSeal)).toBe(true);
  });

  it("seals nothing where there is no value, which is not to have erased one", () => {
    fc.assert(
      fc.property(event, time, (what, at) => {
        const chain = chained([[{ ...what, reason: null }, at]]);
        const { reasonSeal } = chain[0] ?? expect.fail("no record");
        expect(reasonSeal).toEqual({ salt: null, commitment: "" });
        expect(isErased(reasonSeal)).toBe(false);
        const [withReason] = chained([[{ ...what, reason: "" }, at]]);
        expect(isErased({ ...(withReason ?? expect.fail("no record")).reasonSeal, salt: null })).toBe(true);
      }),
    );
  });
});

function erased(chain: AuditRecord[], index: number): AuditRecord[] {
  const record = chain[index] ?? expect.fail("no record");
  const { actorSeal, reasonSeal } = record;
  return replaced(chain, index, {
    actor: null,
    actorSeal: { ...actorSeal, salt: null },
    reason: null,
    reasonSeal: { ...reasonSeal, salt: null },
  });
}
