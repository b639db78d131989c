import { describe, expect, it } from "vitest";
import type { Identity } from "../../src/identities/identity.js";
import { RowMemory } from "../../src/tokens/row-memory.js";

const user = (subject: string) => ({ issuer: "https://issuer.test", subject });
const CHAT = { scopes: ["CHAT"], lifetimeMinutes: 60 } as const;

const rowOf = (subject: string, changes: Partial<Identity> = {}): Identity => ({
  id: `idn_${subject}`,
  user: user(subject),
  communicationUserId: `8:acs:r_${subject}`,
  resource: "r.example.com",
  status: "ACTIVE",
  createdAt: 1,
  lastTokenIssuedAt: 2,
  tokensValidAfter: null,
  revocationPending: false,
  revocations: 0,
  ...changes,
});

describe("the memory of rows", () => {
  it("has a row for who asks for the same once more, and for nothing else", () => {
    const rows = new RowMemory(2);
    rows.keep(rowOf("alice"), CHAT);
    expect(rows.find(user("alice"), CHAT)).toEqual(rowOf("alice"));
    expect(rows.find(user("alice"), { ...CHAT, lifetimeMinutes: 61 })).toBeUndefined();
    expect(rows.find(user("alice"), { ...CHAT, scopes: ["CHAT", "VOIP"] })).toBeUndefined();
    expect(rows.find({ ...user("alice"), issuer: "https://other.test" }, CHAT)).toBeUndefined();
    rows.forget(user("alice"));
    expect(rows.find(user("alice"), CHAT)).toBeUndefined();
  });

  it("has what was asked for last", () => {
    const rows = new RowMemory(2);
    const voip = { ...CHAT, scopes: ["VOIP"] } as const;
    rows.keep(rowOf("alice"), CHAT);
    rows.keep(rowOf("alice"), voip);
    expect([rows.find(user("alice"), CHAT), rows.find(user("alice"), voip)]).toEqual([undefined, rowOf("alice")]);
  });

  it.each<Partial<Identity>>([{ id: "idn_new" }, { communicationUserId: "8:acs:r_new" }, { revocations: 1 }])(
    "has the row that a record would be written for: %o",
    (change) => {
      const rows = new RowMemory(2);
      rows.keep(rowOf("alice"), CHAT);
      rows.keep(rowOf("alice", change), CHAT);
      expect(rows.find(user("alice"), CHAT)).toMatchObject(change);
    },
  );

  it.each<Partial<Identity>>([
    { status: "SUSPENDED" },
    { revocationPending: true },
    { communicationUserId: null },
    { user: null },
  ])("has none that no record would be written for: %o", (change) => {
    const rows = new RowMemory(2);
    rows.keep(rowOf("alice", change), CHAT);
    expect(rows.find(user("alice"), CHAT)).toBeUndefined();
  });

  it("keeps no more than it may, and drops the one that was not used for longest", () => {
    const rows = new RowMemory(2);
    for (const subject of ["alice", "bob"]) rows.keep(rowOf(subject), CHAT);
    rows.find(user("alice"), CHAT);
    rows.keep(rowOf("carol"), CHAT);
    const found = ["alice", "bob", "carol"].map((subject) => rows.find(user(subject), CHAT)?.id);
    expect(found).toEqual(["idn_alice", undefined, "idn_carol"]);
  });
});
