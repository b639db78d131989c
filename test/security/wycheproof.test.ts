import { constants, createPrivateKey, type JsonWebKey, type KeyObject, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseCompactJws } from "../../src/auth/compact-jws.js";
import { keyFits, type PublicKey, readPublicKey } from "../../src/auth/public-key.js";
import { verifySignature } from "../../src/auth/signature.js";
import { base64url } from "../fixtures/issuer.js";
import { Rig } from "../fixtures/rig.js";
import { attack, expectUnauthenticated } from "./attack.js";

/** The folder `testvectors_v1` of a checkout of C2SP/wycheproof, whose files are not ours to ship. */
const VECTORS = process.env.WYCHEPROOF;
const WHY_SKIPPED = VECTORS ? "" : " (left out: WYCHEPROOF does not name the folder of the vectors)";

type Jwk = JsonWebKey & { readonly alg?: string; readonly kid?: string; readonly d?: string };
type Keys = Jwk | { readonly keys: readonly Jwk[] };

interface Group {
  readonly comment: string;
  readonly public?: Keys;
  readonly private?: Keys;
  readonly tests: readonly {
    readonly tcId: number;
    readonly comment: string;
    readonly jws?: unknown;
    readonly result: "valid" | "invalid" | "acceptable";
  }[];
}

const files = ["signature", "key", "crypto"].map((kind) => `json_web_${kind}_test.json`);
const groupsOf = (file: string) =>
  (JSON.parse(readFileSync(join(VECTORS ?? "", file), "utf8")) as { testGroups: Group[] }).testGroups;
const listOf = (keys: Keys = { keys: [] }): readonly Jwk[] =>
  "keys" in keys ? (keys.keys as readonly Jwk[]) : [keys as Jwk];

const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
const MAX_AGE_MS = 300_000;

let rig: Rig;
let passed = 0;

describe.skipIf(!VECTORS)(`Wycheproof's JOSE vectors${WHY_SKIPPED}`, () => {
  beforeAll(async () => {
    rig = await Rig.start({
      now: () => Date.now() + passed,
      configure: (config) => ({
        ...config,
        limits: { ...config.limits, failedAuthPerAddress: 1_000_000 },
        issuers: config.issuers.map((issuer) => ({ ...issuer, algorithms: ALGORITHMS, clockToleranceSeconds: 300 })),
      }),
    });
  });
  afterAll(async () => {
    await rig.close();
  });

  /** The issuer shows these keys, and its own. */
  const show = (keys: readonly Jwk[]) => {
    rig.issuer.keys = [...rig.issuer.keys.slice(0, 1), ...keys];
    passed += MAX_AGE_MS;
  };

  it.each(files)(
    "are all 401 at the port, since their payloads are no claims: %s",
    async (file) => {
      let tried = 0;
      for (const group of groupsOf(file)) {
        show(listOf(group.public ?? group.private));
        for (const { jws } of group.tests) {
          if (jws === undefined) continue;
          const text = typeof jws === "string" ? jws : JSON.stringify(jws);
          await expectUnauthenticated(rig, await attack(rig, `Bearer ${text.replace(/[^\x20-\x7e]/g, "?")}`));
          tried += 1;
        }
      }
      expect(tried).toBeGreaterThan(20);
    },
    120_000,
  );

  it.each(files)(
    "let in, with good claims under their keys, whom the vectors call valid, and nobody else: %s",
    async (file) => {
      for (const { comment, public: shown, private: pair, tests } of groupsOf(file)) {
        // Of vectors about the key itself; the others' keys are sound.
        const isSound = !tests.every(({ result }) => result === "invalid");
        show(listOf(shown));
        for (const jwk of listOf(pair).filter(({ d }) => d !== undefined)) {
          const token = signWith(jwk);
          if (token === undefined) continue;
          const { status } = await attack(rig, `Bearer ${token}`);
          expect({ comment, alg: jwk.alg, status }).toEqual({ comment, alg: jwk.alg, status: isSound ? 200 : 401 });
        }
      }
    },
    120_000,
  );

  it.each(files)("have no signature verified that is invalid, whatever stands in the payload: %s", async (file) => {
    const wrong: unknown[] = [];
    let verified = 0;
    for (const group of groupsOf(file)) {
      for (const { tcId, comment, jws, result } of group.tests) {
        if (typeof jws !== "string" || !(await verifies(jws, listOf(group.public)))) continue;
        verified += 1;
        if (result === "invalid") wrong.push({ tcId, group: group.comment, comment });
      }
    }
    expect(wrong).toEqual([]);
    if (file.includes("signature")) expect(verified).toBeGreaterThan(20);
  });

  /** Undefined for a key whose algorithm nobody knows, or that no library takes. */
  function signWith(jwk: Jwk): string | undefined {
    const { alg = "RS256", kid } = jwk;
    if (!ALGORITHMS.includes(alg)) return undefined;
    let key: KeyObject;
    try {
      key = createPrivateKey({ key: jwk, format: "jwk" });
    } catch {
      return undefined;
    }
    const claims = { ...rig.issuer.claimsOf("alice"), exp: Math.floor((Date.now() + passed) / 1000) + 600 };
    const input = `${base64url(JSON.stringify({ alg, kid, typ: "at+jwt" }))}.${base64url(JSON.stringify(claims))}`;
    const padding = alg.startsWith("PS")
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      : {};
    const signature = sign(`sha${alg.slice(-3)}`, Buffer.from(input), { key, dsaEncoding: "ieee-p1363", ...padding });
    return `${input}.${signature.toString("base64url")}`;
  }

  /** As the authenticator does, but for the payload, which is no JSON here. */
  async function verifies(jws: string, jwks: readonly Jwk[]): Promise<boolean> {
    const [header = "", payload = "", signature = "", ...more] = jws.split(".");
    if (more.length > 0 || Buffer.from(payload, "base64url").toString("base64url") !== payload) return false;
    try {
      const parsed = parseCompactJws(`${header}.e30.${signature}`, { ownKey: "refused" });
      const { alg, kid } = parsed.header;
      const fitting = (await Promise.all(jwks.map(readIfUsable))).filter(
        (key) => key !== undefined && keyFits(key, alg) && (kid === undefined || kid === key.kid),
      );
      const [key] = fitting;
      if (key === undefined || fitting.length > 1) return false;
      await verifySignature({ ...parsed, text: jws }, key, "bad_signature");
      return true;
    } catch {
      return false;
    }
  }
});

async function readIfUsable(jwk: Jwk): Promise<PublicKey | undefined> {
  return await readPublicKey(jwk).catch(() => undefined);
}
