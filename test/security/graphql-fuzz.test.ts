import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, type Reply, Rig } from "../fixtures/rig.js";
import { countObjects, whyNotRun } from "./document-judge.js";

const DOCUMENTS = Object.values(
  JSON.parse(readFileSync("test/generated/persisted-documents.json", "utf8")) as Record<string, string>,
);
const VARIABLES = {
  id: "7",
  ids: ["7", "8"],
  identityId: "7",
  first: 5,
  scopes: ["CHAT"],
  user: { issuer: "https://issuer.example.com", subject: "alice" },
  communicationUserId: "8:acs:a_b",
  teamsUserAadToken: "t",
  clientId: "c",
  userObjectId: "u",
};

let rig: Rig;
let clients: Client[];

beforeAll(async () => {
  const plenty = 1_000_000;
  rig = await Rig.start({
    configure: (config) => ({
      ...config,
      limits: { ...config.limits, requestsPerSubject: plenty, mintsPerSubject: plenty, mintsPerIssuer: plenty },
    }),
  });
  clients = [await rig.member(), await rig.admin()];
});
afterAll(async () => {
  await rig.close();
});

/** Few most often; many now and then. */
function repeated(text: string, max: number): fc.Arbitrary<string> {
  const few = fc.integer({ min: 1, max: 12 });
  return fc.oneof({ weight: 5, arbitrary: few }, fc.integer({ min: 1, max })).map((count) => text.repeat(count));
}

/** What a tokenizer, a parser or a printer could trip over, and names of any length. */
const MARKS = [
  ...["{", "}", "(", ")", "[", "]", ":", "$", "@", "!", "|", "&", "=", "...", "#", ",", '"', '"""', "\\", "\\u"],
  ...["\\u{110000}", "\0", "\n", "\r", "\ufeff", "\u2028", "\ud83d", "\u0301", "-1", "1e400", "9999999999999999999999"],
  ...["query ", "mutation ", "subscription ", "fragment F on Query { ...F } ", "...IdentityFields ", "{ ... { "],
  ...["__typename ", "{ __schema { types { name } } } ", "constructor ", "null "],
];
const piece = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...MARKS) },
  fc.string({ unit: "binary", maxLength: 8 }),
  repeated("a", 20_000),
  repeated("{ a", 600),
  repeated(" a: id", 600),
  repeated("\n", 10_000),
);

/** Changes a text at a place, 0 ≤ place < 1. */
type Change = (text: string, place: number) => string;

/** Replaces the occurrence of a pattern that the place falls on. */
function replacing(pattern: RegExp, by: (found: string) => string): Change {
  return (text, place) => {
    const found = [...text.matchAll(pattern)];
    const match = found[Math.floor(place * found.length)];
    if (!match) return text;
    return `${text.slice(0, match.index)}${by(match[0])}${text.slice(match.index + match[0].length)}`;
  };
}

const characters: fc.Arbitrary<Change> = fc.tuple(piece, fc.nat(20)).map(([insert, length]) => (text, place) => {
  const at = Math.floor(place * text.length);
  return `${text.slice(0, at)}${insert}${text.slice(at + length)}`;
});

const NAMES = [...new Set(DOCUMENTS.flatMap((text) => text.match(/\w+/g) ?? []))];
const names: fc.Arbitrary<Change> = fc
  .oneof({ weight: 5, arbitrary: fc.constantFrom(...NAMES) }, repeated("a", 20_000))
  .map((name) => replacing(/\w+/g, () => name));

const BLOCK = /\{[^{}]*\}/g;
const FIELD = /\b\w+ \{[^{}]*\}/g;
const some = fc.nat(12);
const structure: fc.Arbitrary<Change> = fc.oneof(
  some.map((copies) => replacing(FIELD, (found) => `${found} `.repeat(copies))),
  some.map((copies) => replacing(FIELD, (found) => [...Array(copies).keys()].map((n) => `a${n}: ${found}`).join(" "))),
  some.map((depth) => replacing(BLOCK, (found) => `${"{ identity ".repeat(depth)}${found}${" }".repeat(depth)}`)),
  fc.nat(110).map((depth) => replacing(BLOCK, (found) => `${"{ ... ".repeat(depth)}${found}${" }".repeat(depth)}`)),
  some.map((copies) => replacing(/\b\w+ /g, (found) => `${found}${"@include(if: true) ".repeat(copies)}`)),
  fc.constant(replacing(/\$\w+/g, () => "null")),
  fc.constantFrom(...DOCUMENTS).map((other) => replacing(/$/g, () => ` ${other}`)),
);

const place = fc.double({ min: 0, max: 0.999, noNaN: true });
const changes = fc.array(
  fc.tuple(fc.oneof(characters, { weight: 2, arbitrary: names }, { weight: 3, arbitrary: structure }), place),
  { maxLength: 3 },
);

function changed(text: string, all: readonly (readonly [Change, number])[]): string {
  return all.reduce((sofar, [change, where]) => change(sofar, where), text);
}

const document = fc.tuple(fc.constantFrom(...DOCUMENTS), changes).map(([text, all]) => changed(text, all));

const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.constantFrom(null, true, -0, 1e308, "", "\0", "\ud83d", [], {}),
  repeated("a", 60_000),
);
const members = fc.dictionary(fc.constantFrom(...Object.keys(VARIABLES), "__proto__", "constructor", "n"), anything);

const body = fc
  .record(
    {
      query: fc.oneof({ weight: 9, arbitrary: document }, anything),
      variables: fc.oneof({ weight: 9, arbitrary: members.map((others) => ({ ...VARIABLES, ...others })) }, anything),
      operationName: fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, anything),
      extensions: fc.oneof(
        { weight: 9, arbitrary: fc.constant({}) },
        anything,
        fc.record({ persistedQuery: anything }),
      ),
      documentId: fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, anything),
    },
    { requiredKeys: ["query", "variables"] },
  )
  .map((value) => JSON.stringify(value));

async function send(client: number, text: string): Promise<void> {
  const { token } = clients[client] ?? {};
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  await rig.takeCalls();
  const reply = await rig.post(text, headers);
  expect(reply.status).toBeLessThan(500);
  expect(reply.text).not.toContain("INTERNAL_SERVER_ERROR");
  if (reply.status < 400) {
    expectMayRun(text, reply);
    return;
  }
  expect(reply.errors?.length).toBeGreaterThan(0);
  expect(Buffer.byteLength(reply.text)).toBeLessThan(2048);
  expect(await rig.takeCalls()).toEqual({});
}

/** What was run is within every limit, by a judge of its own. */
function expectMayRun(text: string, { data }: Reply<unknown>): void {
  const { query, operationName = null } = JSON.parse(text) as { query: string; operationName?: string | null };
  expect([query, whyNotRun(query, operationName)]).toEqual([query, undefined]);
  expect(countObjects(data)).toBeLessThanOrEqual(1000);
}

describe("whatever a client sends is never a 500, and what is refused is refused in few words and before the service", () => {
  const who = fc.nat(1);
  const runs = { numRuns: Number(process.env.FUZZ_RUNS ?? 400) };

  it("as a document", async () => {
    await fc.assert(
      fc.asyncProperty(who, document, (client, query) => send(client, JSON.stringify({ query, variables: VARIABLES }))),
      runs,
    );
  });

  it("as a body", async () => {
    await fc.assert(fc.asyncProperty(who, body, send), runs);
  });

  it("as the text of a body", async () => {
    const text = fc.tuple(body, changes).map(([sound, all]) => changed(sound, all));
    await fc.assert(fc.asyncProperty(who, text, send), runs);
  });
});
