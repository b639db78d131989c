import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isStorable } from "../../src/text.js";
import { DpopClient } from "../fixtures/dpop.js";
import { AUDIENCE } from "../fixtures/issuer.js";
import { Rig } from "../fixtures/rig.js";
import { attack, ISSUE, JSON_TYPE } from "./attack.js";

const TOLERANCE = 5;
const LAST_SECOND = 253_402_300_799;
const seconds = () => Math.floor(Date.now() / 1000);

let rig: Rig;
let client: DpopClient;
let refusal: string;

beforeAll(async () => {
  client = new DpopClient();
  rig = await Rig.start({
    configure: (config) => ({
      ...config,
      limits: {
        ...config.limits,
        failedAuthPerAddress: 1_000_000,
        mintsPerSubject: 1_000_000,
        requestsPerSubject: 1_000_000,
        mintsPerIssuer: 1_000_000,
      },
    }),
  });
  refusal = (await rig.post(ISSUE, JSON_TYPE)).text;
});
afterAll(async () => {
  await rig.close();
});

/** Let in when it should be, and else refused with the one answer; never anything else. */
async function expectJudged(
  shouldPass: boolean,
  authorization: string,
  headers: Record<string, string> = {},
): Promise<void> {
  const reply = await attack(rig, authorization, headers);
  if (shouldPass) expect(reply).toMatchObject({ status: 200, errors: undefined });
  else expect([reply.status, reply.text]).toEqual([401, refusal]);
}

/** What can stand in a header (RFC 9110 §5.5), but for what it may not begin or end with. */
const headerText = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 5,
});

type Mutation = (text: string) => string;

/** Another text: characters changed, put in, taken out; parts exchanged, repeated, left out; encodings altered. */
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(fc.nat(), fc.nat(8), headerText).map(
    ([at, length, put]): Mutation =>
      (text) => {
        const from = at % (text.length + 1);
        return `${text.slice(0, from)}${put}${text.slice(from + length)}`;
      },
  ),
  fc.nat().map(
    (at): Mutation =>
      (text) => {
        const from = at % text.length;
        const code = text.charCodeAt(from);
        return `${text.slice(0, from)}${String.fromCharCode(code === 0x7e ? 0x21 : code + 1)}${text.slice(from + 1)}`;
      },
  ),
  fc.nat().map(
    (at): Mutation =>
      (text) => {
        const from = at % text.length;
        const letter = text[from] ?? "";
        const other = letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase();
        return `${text.slice(0, from)}${other}${text.slice(from + 1)}`;
      },
  ),
  fc.shuffledSubarray([0, 1, 2], { minLength: 1 }).map(
    (order): Mutation =>
      (text) => {
        const parts = text.split(".");
        return order.map((at) => parts[at] ?? "").join(".");
      },
  ),
  fc.constantFrom<Mutation>(
    (text) => `${text}.`,
    (text) => `.${text}`,
    (text) => text.replaceAll("-", "+").replaceAll("_", "/"),
    (text) => text.replaceAll(".", ".."),
    (text) => `${text}${text}`,
    (text) => text.split("").reverse().join(""),
  ),
);

const mutations = fc.array(mutation, { minLength: 1, maxLength: 3 });
const mutate = (text: string, changes: readonly Mutation[]) =>
  changes.reduce((changed, change) => (changed === "" ? changed : change(changed)), text);

/** A value that could pass for one that is right. */
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom<unknown>(
    { toString: 1 },
    { valueOf: 1, toString: null },
    undefined,
    null,
    "",
    AUDIENCE,
    [AUDIENCE],
    [AUDIENCE, "other"],
    [AUDIENCE, 1],
    "alice",
    "POST",
  ),
  fc.integer({ min: -200, max: 200 }).map((off) => seconds() + off),
  fc.integer({ min: -200, max: 200 }).map((off) => String(seconds() + off)),
  fc.double(),
);

const isTime = (claim: unknown): claim is number =>
  Number.isInteger(claim) && Number(claim) > 0 && Number(claim) <= LAST_SECOND;

/** Of each claim that matters, written anew from RFC 7519, RFC 9068 and what the README promises. */
function areGoodClaims(claims: Record<string, unknown>): boolean {
  const { iss, sub, aud, exp, iat, nbf } = claims;
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  return (
    iss === rig.issuer.url &&
    typeof sub === "string" &&
    sub.length >= 1 &&
    sub.length <= 255 &&
    isStorable(sub) &&
    audiences.every((name) => typeof name === "string" && name !== "") &&
    audiences.includes(AUDIENCE) &&
    isTime(exp) &&
    isTime(iat) &&
    (nbf === undefined || nbf === 0 || isTime(nbf)) &&
    exp > iat &&
    exp > Date.now() / 1000 - TOLERANCE &&
    iat <= Date.now() / 1000 + TOLERANCE &&
    (nbf === undefined || Number(nbf) <= Date.now() / 1000 + TOLERANCE) &&
    !["nonce", "at_hash", "c_hash", "s_hash", "events", "cnf"].some((name) => claims[name] !== undefined) &&
    !["ID", "Refresh", "Offline", "Logout"].includes(claims.typ as string) &&
    claims.token_use !== "id"
  );
}

const REFUSED_HEADERS = ["crit", "b64", "jwk", "jku", "x5u", "x5c", "cty", "enc", "zip"];

function isGoodHeader(header: Record<string, unknown>): boolean {
  const { alg, kid, typ } = header;
  const type = typeof typ === "string" ? typ.toLowerCase().replace(/^application\//, "") : typ;
  return (
    alg === "ES256" &&
    (kid === undefined || kid === "test") &&
    (type === undefined || type === "jwt" || type === "at+jwt") &&
    !REFUSED_HEADERS.some((name) => header[name] !== undefined)
  );
}

/** More by `FUZZ_RUNS=20000 npx vitest run test/security/fuzz.test.ts`. */
const RUNS = { numRuns: Number(process.env.FUZZ_RUNS ?? 300) };

describe("a good token, changed in any way", () => {
  it("as a text: is refused, whatever was changed", async () => {
    const token = await rig.issuer.sign("alice");
    await expectJudged(true, `Bearer ${token}`);
    await fc.assert(
      fc.asyncProperty(mutations, async (changes) => {
        const changed = mutate(token, changes);
        fc.pre(changed !== token);
        await expectJudged(false, `Bearer ${changed}`);
      }),
      RUNS,
    );
  });

  it("in its claims, well signed: is let in when they are good, and only then", async () => {
    const name = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom("iss", "sub", "aud", "exp", "iat", "nbf") },
      fc.constantFrom("nonce", "at_hash", "cnf", "typ", "token_use", "events", "jti", "client_id", "roles", "scope"),
      fc.string({ maxLength: 8 }).filter((text) => text !== "__proto__"),
    );
    await fc.assert(
      fc.asyncProperty(fc.dictionary(name, value, { minKeys: 1, maxKeys: 3 }), async (changes) => {
        const claims = { ...rig.issuer.claimsOf("alice"), ...changes };
        const token = rig.issuer.signText('{"alg":"ES256","kid":"test","typ":"at+jwt"}', JSON.stringify(claims));
        await expectJudged(areGoodClaims(JSON.parse(JSON.stringify(claims))), `Bearer ${token}`);
      }),
      RUNS,
    );
  });

  it("in its header, well signed: is let in when it is good, and only then", async () => {
    const name = fc.oneof(
      fc.constantFrom("alg", "kid", "typ", ...REFUSED_HEADERS),
      fc.string({ maxLength: 8 }).filter((text) => text !== "__proto__"),
    );
    const member = fc.oneof(
      value,
      fc.constantFrom<unknown>(
        "ES256",
        "es256",
        "none",
        "HS256",
        "RS256",
        "test",
        "JWT",
        "at+jwt",
        "application/at+jwt",
        ["alg"],
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.dictionary(name, member, { minKeys: 1, maxKeys: 3 }), async (changes) => {
        const header = { alg: "ES256", kid: "test", typ: "at+jwt", ...changes };
        const token = rig.issuer.signText(JSON.stringify(header), JSON.stringify(rig.issuer.claimsOf("alice")));
        await expectJudged(isGoodHeader(JSON.parse(JSON.stringify(header))), `Bearer ${token}`);
      }),
      RUNS,
    );
  });

  it("in its claims, signed by another: is refused, always", async () => {
    const { key } = new DpopClient();
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
        async (changes) => {
          await expectJudged(false, `Bearer ${await rig.issuer.sign("alice", { key, claims: changes })}`);
        },
      ),
      RUNS,
    );
  });
});

describe("a good proof, changed in any way", () => {
  const uri = () => `${rig.gateway.url}/graphql`;

  it("as a text: is refused, whatever was changed", async () => {
    const token = await rig.issuer.sign("alice", { claims: await client.confirmation() });
    await expectJudged(true, `DPoP ${token}`, { dpop: client.proof(token, uri()) });
    await fc.assert(
      fc.asyncProperty(mutations, async (changes) => {
        const proof = client.proof(token, uri());
        const changed = mutate(proof, changes);
        fc.pre(changed !== proof);
        await expectJudged(false, `DPoP ${token}`, { dpop: changed });
      }),
      RUNS,
    );
  });

  it("in its claims, well signed: is let in when they are good, and only then", async () => {
    const token = await rig.issuer.sign("alice", { claims: await client.confirmation() });
    const name = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom("jti", "htm", "htu", "iat", "ath") },
      fc.string({ maxLength: 6 }).filter((text) => text !== "__proto__"),
    );
    const used = new Set<unknown>();
    await fc.assert(
      fc.asyncProperty(fc.dictionary(name, value, { minKeys: 1, maxKeys: 2 }), async (changes) => {
        const { jti, htm, htu, iat } = JSON.parse(JSON.stringify(changes)) as Record<string, unknown>;
        const has = (claim: string) => Object.hasOwn(changes, claim);
        // A minute is what the clock may be off; a proof of exactly that age may be judged either way.
        fc.pre(!(isTime(iat) && Math.abs(Math.abs(seconds() - iat) - 60) <= 2));
        const isGood =
          (!has("jti") || (typeof jti === "string" && jti !== "" && jti.length <= 255 && !used.has(jti))) &&
          (!has("htm") || htm === "POST") &&
          (!has("htu") || htu === uri()) &&
          (!has("iat") || (isTime(iat) && Math.abs(seconds() - iat) < 60)) &&
          !has("ath");
        if (isGood && has("jti")) used.add(jti);
        await expectJudged(isGood, `DPoP ${token}`, { dpop: client.proof(token, uri(), { claims: changes }) });
      }),
      RUNS,
    );
  });
});
