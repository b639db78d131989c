import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { SignJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AUDIENCE, base64url, publish, TestIssuer } from "../fixtures/issuer.js";
import { Rig } from "../fixtures/rig.js";
import { attack, expectLetIn, expectUnauthenticated } from "./attack.js";
import { rawRequest } from "./raw.js";

const hour = 3600;
const now = () => Math.floor(Date.now() / 1000);
const HEADER = { alg: "ES256", kid: "test", typ: "at+jwt" };

let rig: Rig;
let other: TestIssuer;
let rsa: { privateKey: KeyObject; publicKey: KeyObject };

beforeAll(async () => {
  other = await TestIssuer.start();
  rig = await Rig.start({
    configure: (config) => ({
      ...config,
      limits: { ...config.limits, failedAuthPerAddress: 100_000, mintsPerSubject: 1000 },
      issuers: config.issuers.flatMap((issuer) => [
        // RS256 is not among its algorithms, though it has an RSA key.
        { ...issuer, algorithms: ["ES256", "EdDSA"] },
        { ...issuer, issuer: other.url },
      ]),
    }),
  });
  rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  rig.issuer.keys.push(publish(rsa.publicKey, { kid: "rsa" }));
});
beforeEach(async () => {
  await rig.takeCalls();
});
afterAll(async () => {
  await rig.close();
  await other.close();
});

const claims = (changes: object = {}) => JSON.stringify({ ...rig.issuer.claimsOf("mallory"), ...changes });
const header = (changes: object = {}) => JSON.stringify({ ...HEADER, ...changes });
const signed = (changes: object) => rig.issuer.signText(header(), claims(changes));
const withHeader = (changes: object) => rig.issuer.signText(header(changes), claims());
/** The member comes twice: a sound value, and another. */
const twice = (text: string, member: string, value: unknown) =>
  text.replace("{", `{${JSON.stringify(member)}:${JSON.stringify(value)},`);
/** Other bits where the last character has some to spare: another text for the same bytes. */
const alterTrailingBits = (part: string) => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return `${part.slice(0, -1)}${alphabet[alphabet.indexOf(part.at(-1) ?? "") ^ 1]}`;
};
/** Padded with spaces, so that its encoding has bits to spare. */
const withSpareBits = (text: string) => (Buffer.byteLength(text) % 3 === 0 ? `${text} ` : text);
const hmac = (secret: string | Buffer, changes: object = {}) => {
  const input = `${base64url(header({ alg: "HS256", ...changes }))}.${base64url(claims())}`;
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
};
const unsigned = (alg: string, signature = "") => `${base64url(header({ alg }))}.${base64url(claims())}.${signature}`;

type Case = readonly [name: string, token: () => string | Promise<string>];

const FORM: Case[] = [
  ["a token over 8 KB", () => signed({ padding: "x".repeat(6200) })],
  ["two parts", () => signed({}).split(".").slice(0, 2).join(".")],
  ["four parts", () => `${signed({})}.AAAA`],
  ["an encrypted token (five parts)", () => `${base64url('{"alg":"dir","enc":"A256GCM"}')}..AAAA.AAAA.AAAA`],
  ["an empty header", () => signed({}).replace(/^[^.]+/, "")],
  ["an empty payload", () => rig.issuer.signParts(base64url(header()), "")],
  ["an empty signature", () => signed({}).replace(/[^.]+$/, "")],
  ["a signature that is cut off", () => signed({}).slice(0, -4)],
  ["a signature that is too long", () => `${signed({})}AAAA`],
  ["padding in the signature", () => `${signed({})}==`],
  ["padding in the header", () => rig.issuer.signParts(`${base64url(withSpareBits(header()))}=`, base64url(claims()))],
  [
    "plain base64 instead of base64url",
    () =>
      rig.issuer.signParts(
        base64url(header()),
        Buffer.from(claims({ pad: "???>>>" }))
          .toString("base64")
          .replace(/=+$/, "+"),
      ),
  ],
  ["altered trailing bits of the signature", () => signed({}).replace(/[^.]+$/, alterTrailingBits)],
  [
    "altered trailing bits of the header",
    () => rig.issuer.signParts(alterTrailingBits(base64url(withSpareBits(header()))), base64url(claims())),
  ],
  [
    "altered trailing bits of the payload",
    () => rig.issuer.signParts(base64url(header()), alterTrailingBits(base64url(withSpareBits(claims())))),
  ],
  [
    "a part of one character more than bytes have",
    () =>
      rig.issuer.signParts(
        base64url(header()),
        `${base64url(`${claims()}${" ".repeat(3 - (Buffer.byteLength(claims()) % 3))}`)}A`,
      ),
  ],
  ["a duplicate member in the header", () => rig.issuer.signText(twice(header(), "alg", "none"), claims())],
  ["a duplicate member in the claims", () => rig.issuer.signText(header(), twice(claims(), "sub", "ada"))],
  [
    "a duplicate member spelled otherwise",
    () => rig.issuer.signText(header(), claims().replace("{", '{"\\u0073ub":"ada",')),
  ],
  [
    "a duplicate member deep in the claims",
    () => rig.issuer.signText(header(), claims().replace("{", '{"act":{"a":[{"b":1,"b":2}]},')),
  ],
  ["a byte order mark before the header", () => rig.issuer.signText(`\ufeff${header()}`, claims())],
  ["a byte order mark before the claims", () => rig.issuer.signText(header(), `\ufeff${claims()}`)],
  ["claims that are not UTF-8", () => rig.issuer.signText(header(), Buffer.from(claims({ name: "\u00e9" }), "latin1"))],
  ["claims that are a list", () => rig.issuer.signText(header(), `[${claims()}]`)],
  ["claims that are a text", () => rig.issuer.signText(header(), JSON.stringify(claims()))],
  ["claims that are null", () => rig.issuer.signText(header(), "null")],
  ["a header that is a list", () => rig.issuer.signText(`[${header()}]`, claims())],
  ["text behind the claims", () => rig.issuer.signText(header(), `${claims()}{}`)],
  ["a nested token", async () => rig.issuer.signText(header({ cty: "JWT" }), signed({}))],
  ["a nested token without cty", async () => rig.issuer.signText(header(), signed({}))],
  ["a cty with claims", () => withHeader({ cty: "JWT" })],
];

const HEADERS: Case[] = [
  ...["none", "None", "NONE", "nOnE", "", "null"].flatMap((alg): Case[] => [
    [`alg ${JSON.stringify(alg)} without a signature`, () => unsigned(alg)],
    [`alg ${JSON.stringify(alg)} with one`, () => unsigned(alg, base64url("signature"))],
    [`alg ${JSON.stringify(alg)} over a sound one`, () => withHeader({ alg })],
  ]),
  ...[undefined, null, 1, ["ES256"], { a: 1 }].map(
    (alg): Case => [`alg ${JSON.stringify(alg)}`, () => withHeader({ alg })],
  ),
  ...["es256", "ES256 ", "ES256\0", "ES384", "ES256K", "RS256", "EdDSA", "constructor", "__proto__"].map(
    (alg): Case => [`alg ${JSON.stringify(alg)} over an ES256 signature`, () => withHeader({ alg })],
  ),
  ["HMAC with the public key as PEM", () => hmac(publicKey().export({ type: "spki", format: "pem" }))],
  ["HMAC with the public key as DER", () => hmac(publicKey().export({ type: "spki", format: "der" }))],
  ["HMAC with the public key as JWK", () => hmac(JSON.stringify(rig.issuer.keys[0]))],
  ["HMAC with the RSA key as PEM", () => hmac(rsa.publicKey.export({ type: "spki", format: "pem" }), { kid: "rsa" })],
  ...["", " ", "secret", "password", "your-256-bit-secret", "changeme", "test", "\0"].map(
    (secret): Case => [`HMAC with the secret ${JSON.stringify(secret)}`, () => hmac(secret)],
  ),
  ["an all-zero signature", () => signed({}).replace(/[^.]+$/, base64url(Buffer.alloc(64)))],
  [
    "an all-zero signature in DER",
    () => signed({}).replace(/[^.]+$/, base64url(Buffer.from("3006020100020100", "hex"))),
  ],
  [
    "a signature of the curve's order",
    () =>
      signed({}).replace(
        /[^.]+$/,
        base64url(Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551".repeat(2), "hex")),
      ),
  ],
  [
    "an algorithm that is not configured, well signed by a key of the issuer",
    () =>
      new SignJWT(rig.issuer.claimsOf("mallory"))
        .setProtectedHeader({ ...HEADER, alg: "RS256", kid: "rsa" })
        .sign(rsa.privateKey),
  ],
  ["a configured algorithm of another key type", () => withHeader({ kid: "rsa" })],
  ["an unknown crit", () => withHeader({ crit: ["x"], x: 1 })],
  ["an empty crit", () => withHeader({ crit: [] })],
  ["a crit that names a registered header", () => withHeader({ crit: ["alg"] })],
  ["b64 false with crit", () => withHeader({ crit: ["b64"], b64: false })],
  ["b64 false without crit", () => withHeader({ b64: false })],
  ["b64 true", () => withHeader({ b64: true })],
  ["zip", () => withHeader({ zip: "DEF" })],
  ["kid that is a number", () => withHeader({ kid: 1 })],
  ["kid that is an object", () => withHeader({ kid: { $ne: "" } })],
  ["kid that is null", () => withHeader({ kid: null })],
  ...[
    "",
    "TEST",
    "test ",
    "test\0",
    "../../../../dev/null",
    "/dev/null",
    "' OR 1=1 --",
    "test'; DROP TABLE identities; --",
    "$(id)",
    "__proto__",
    "http://127.0.0.1/",
  ].map((kid): Case => [`kid ${JSON.stringify(kid)}`, () => withHeader({ kid })]),
  ["typ that is a number", () => withHeader({ typ: 1 })],
  ...[
    "dpop+jwt",
    "id+jwt",
    "logout+jwt",
    "secevent+jwt",
    "jose",
    "at+jwt ",
    "application/jwt+at",
    "text/at+jwt",
    "",
  ].map((typ): Case => [`typ ${JSON.stringify(typ)}`, () => withHeader({ typ })]),
];

function publicKey(): KeyObject {
  return createPublicKey(rig.issuer.key);
}

const CLAIMS: Case[] = [
  ...[
    undefined,
    null,
    "",
    "soon",
    `${now() + hour}`,
    now() + hour + 0.5,
    -1,
    0,
    1e300,
    (now() + hour) * 1000,
    true,
    [now() + hour],
    {},
  ].map((exp): Case => [`exp ${JSON.stringify(exp)}`, () => signed({ exp })]),
  ["exp in the past", () => signed({ iat: now() - 2 * hour, exp: now() - 60 })],
  ["exp just beyond the clock's tolerance", () => signed({ iat: now() - hour, exp: now() - 10 })],
  ["iat just beyond the clock's tolerance", () => signed({ iat: now() + 10 })],
  ["nbf just beyond the clock's tolerance", () => signed({ nbf: now() + 10 })],
  ["exp before iat", () => signed({ iat: now(), exp: now() - 3 })],
  ...[undefined, null, "", `${now()}`, now() - 0.5, -1, 0, 1e300, true, [now()]].map(
    (iat): Case => [`iat ${JSON.stringify(iat)}`, () => signed({ iat })],
  ),
  ["iat in the future", () => signed({ iat: now() + 120 })],
  ["iat in the future beside an nbf that is not", () => signed({ iat: now() + 120, nbf: now() })],
  ["nbf in the future", () => signed({ nbf: now() + 120 })],
  ...[null, "", `${now()}`, -1, now() - 0.5, [now()]].map(
    (nbf): Case => [`nbf ${JSON.stringify(nbf)}`, () => signed({ nbf })],
  ),
  ...[
    undefined,
    null,
    "",
    [],
    [""],
    "other",
    AUDIENCE.slice(0, -1),
    `${AUDIENCE}2`,
    AUDIENCE.toUpperCase(),
    ` ${AUDIENCE}`,
    [AUDIENCE.slice(1)],
    [[AUDIENCE]],
    [AUDIENCE, 1],
    { 0: AUDIENCE },
    { [AUDIENCE]: true },
    true,
  ].map((aud): Case => [`aud ${JSON.stringify(aud)}`, () => signed({ aud })]),
  ...[undefined, null, "", 7, true, ["ada"], { a: 1 }, "x".repeat(256), "ali\0ce", "alice\ud83d"].map(
    (sub): Case => [`sub ${JSON.stringify(sub)?.slice(0, 40)}`, () => signed({ sub })],
  ),
  ...[undefined, null, "", 7, "https://other.example.com", ["x"]].map(
    (iss): Case => [`iss ${JSON.stringify(iss)}`, () => signed({ iss })],
  ),
  ["iss with a slash more", () => signed({ iss: `${rig.issuer.url}/` })],
  ["iss in other letters", () => signed({ iss: rig.issuer.url.toUpperCase() })],
  ["iss in a list", () => signed({ iss: [rig.issuer.url] })],
  ["another configured issuer's name over this one's key", () => signed({ iss: other.url })],
  [
    "this issuer's name over another configured one's key",
    () => other.sign("mallory", { claims: { iss: rig.issuer.url } }),
  ],
  ["an ID token, by nonce", () => signed({ nonce: "n" })],
  ["an ID token, by at_hash", () => signed({ at_hash: "n" })],
  ["an ID token, by c_hash", () => signed({ c_hash: "n" })],
  ["an ID token, by s_hash", () => signed({ s_hash: "n" })],
  ["an offline token, by Keycloak's typ", () => signed({ typ: "Offline" })],
  ["a logout token, by Keycloak's typ", () => signed({ typ: "Logout" })],
  ["an ID token, by Keycloak's typ", () => signed({ typ: "ID" })],
  ["an ID token, by Cognito's token_use", () => signed({ token_use: "id" })],
  ["a refresh token, by Keycloak's typ", () => signed({ typ: "Refresh" })],
  [
    "a logout token, by its events",
    () => signed({ events: { "http://schemas.openid.net/event/backchannel-logout": {} } }),
  ],
];

describe("a token in another form than the one", () => {
  it.each(FORM)("is 401: %s", refusesToken);
});
describe("a token whose header asks for something", () => {
  it.each(HEADERS)("is 401: %s", refusesToken);
});
describe("a well-signed token with other claims", () => {
  it.each(CLAIMS)("is 401: %s", refusesToken);
});

async function refusesToken(_: string, token: () => string | Promise<string>): Promise<void> {
  await expectUnauthenticated(rig, await attack(rig, `Bearer ${await token()}`));
  await expectLetIn(rig, await attack(rig, `Bearer ${await rig.issuer.sign("alice")}`));
}

describe("a token that is not one compact text", () => {
  it.each(["payload", "general"])("is 401: JSON serialisation, %s", async (kind) => {
    const [protectedHeader, payload, signature] = signed({}).split(".");
    const one = { protected: protectedHeader, signature };
    const json = kind === "general" ? { payload, signatures: [one] } : { payload, ...one };
    for (const text of [JSON.stringify(json), base64url(JSON.stringify(json))]) {
      await expectUnauthenticated(rig, await attack(rig, `Bearer ${text}`));
    }
  });

  it.each([
    (token: string) => `Bearer ${token.replace(".", " .")}`,
    (token: string) => `Bearer ${token.replace(".", ". ")}`,
    (token: string) => `Bearer\t${token}`,
    (token: string) => `Bearer ${token}, Bearer ${token}`,
    (token: string) => `Bearer ${token},`,
    (token: string) => `Bearer "${token}"`,
    (token: string) => `Bearer token=${token}`,
    (token: string) => `Basic ${token}`,
    (token: string) => `Bearer:${token}`,
    (token: string) => token,
  ])("is 401: a header of another form, %#", async (form) => {
    await expectUnauthenticated(rig, await attack(rig, form(signed({}))));
  });

  it("is 401: two authorization headers, good ones too", async () => {
    const token = await rig.issuer.sign("alice");
    const reply = await rawRequest(rig, [
      ["authorization", `Bearer ${token}`],
      ["authorization", `Bearer ${token}`],
    ]);
    expect(reply).toMatch(/^HTTP\/1.1 401 /);
    expect(await rig.takeCalls()).toEqual({});
  });

  it("is 401: a token in the query or in the body", async () => {
    const token = await rig.issuer.sign("alice");
    const init = { method: "POST", headers: { "content-type": "application/json" } };
    const inQuery = await fetch(`${rig.gateway.url}/graphql?access_token=${token}`, { ...init, body: "{}" });
    const inBody = await fetch(`${rig.gateway.url}/graphql`, {
      ...init,
      body: JSON.stringify({ access_token: token }),
    });
    expect([inQuery.status, inBody.status]).toEqual([401, 401]);
  });
});

describe("a key that the token brings or points to", () => {
  it("is not used, and nobody is asked for it", async () => {
    const { privateKey, publicKey: own } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    let asked = 0;
    const server = createServer((_, response) => {
      asked += 1;
      response.end(JSON.stringify({ keys: [publish(own)] }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    try {
      const jwk = own.export({ format: "jwk" });
      for (const extra of [{ jwk }, { jku: url }, { x5u: url }, { x5c: ["MIIB"] }, { jwk: null }]) {
        for (const key of [privateKey, rig.issuer.key]) {
          const token = await rig.issuer.sign("mallory", { key, header: extra as object });
          await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`));
        }
      }
      expect(asked).toBe(0);
    } finally {
      server.close();
    }
  });
});

describe("the reason of a refusal", () => {
  it("is in the log and in a metric, and neither in the answer nor in what quotes the token", async () => {
    const count = async () => {
      const metrics = await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
      return Number(
        /^gateway_authentication_failures_total\{reason="wrong_audience"\} (\d+)$/m.exec(metrics)?.[1] ?? 0,
      );
    };
    const before = await count();
    rig.logLines.length = 0;
    const reply = await attack(rig, `Bearer ${signed({ aud: "somebody-elses" })}`);
    await expectUnauthenticated(rig, reply);
    const log = rig.logLines.join("");
    expect(log).toContain('"reason":"wrong_audience","detail":"aud has none of the configured audiences"');
    expect(log).not.toContain("somebody-elses");
    expect(reply.text).not.toContain("audience");
    expect(await count()).toBe(before + 1);
  });
});

describe("a good token", () => {
  it.each<[string, () => string | Promise<string>]>([
    ["of the second issuer, by its own key", () => other.sign("alice")],
    ["without kid, where one key fits", async () => withHeader({ kid: undefined })],
    ["with several audiences", () => signed({ aud: ["other", AUDIENCE] })],
    ["with nbf now", () => signed({ nbf: now() })],
    ["within the clock's tolerance, made in the future", () => signed({ iat: now() + 3 })],
    ["within the clock's tolerance, expired", () => signed({ iat: now() - hour, exp: now() - 2 })],
    ["with nbf 0", () => signed({ nbf: 0 })],
    ["with a claim typ that is no text", () => signed({ typ: { toString: 1 } })],
    ["with a subject of 255 characters", () => signed({ sub: "x".repeat(255) })],
    ["with white space in its JSON", () => rig.issuer.signText(` ${header()}\n`, `\t${claims()} `)],
    ["with a certificate's thumbprint in its header, as Entra ID's have", () => withHeader({ x5t: "AAAA" })],
    ["of close to 8 KB", () => signed({ padding: "x".repeat(5500) })],
  ])("is let in: %s", async (_, token) => {
    await expectLetIn(rig, await attack(rig, `Bearer ${await token()}`));
  });
});
