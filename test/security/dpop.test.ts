import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { calculateJwkThumbprint, type JWK } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DpopClient, signCompact } from "../fixtures/dpop.js";
import type { SignOptions } from "../fixtures/issuer.js";
import { type Reply, Rig } from "../fixtures/rig.js";
import { attack, expectLetIn, expectRefused, expectUnauthenticated, ISSUE, JSON_TYPE } from "./attack.js";
import { rawRequest } from "./raw.js";

const PUBLIC_URL = "https://tokens.example.com";
const URI = `${PUBLIC_URL}/graphql`;
const seconds = () => Math.floor(Date.now() / 1000);

let rig: Rig;
let client: DpopClient;
let token: string;

beforeAll(async () => {
  client = new DpopClient();
  rig = await Rig.start({
    configure: (config) => ({
      ...config,
      server: { ...config.server, publicUrl: PUBLIC_URL },
      limits: { ...config.limits, failedAuthPerAddress: 100_000, mintsPerSubject: 1000 },
    }),
  });
});
beforeEach(async () => {
  token = await bound();
  await rig.takeCalls();
});
afterAll(async () => {
  await rig.close();
});

const bound = async (options: SignOptions = {}, to = client) =>
  await rig.issuer.sign("alice", { ...options, claims: { ...(await to.confirmation()), ...options.claims } });
const withProof = async (proof: string, authorization = `DPoP ${token}`) =>
  await attack(rig, authorization, { dpop: proof });
const challengeOf = (reply: Reply<unknown>) => reply.headers.get("www-authenticate");

async function expectBadProof(reply: Reply<unknown>): Promise<void> {
  await expectUnauthenticated(rig, reply);
  expect(challengeOf(reply)).toMatch(/^DPoP .*algs="[^"]*ES256[^"]*", error="invalid_dpop_proof"$/);
  await expectLetIn(rig, await withProof(client.proof(token, URI)));
}

describe("a token that is bound to a key", () => {
  it("is let in with a proof of the key, in any case of the scheme's name", async () => {
    await expectLetIn(rig, await withProof(client.proof(token, URI)));
    await expectLetIn(rig, await withProof(client.proof(token, URI), `dpop ${token}`));
  });

  it("is refused as a bearer token, with a proof or without", async () => {
    await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`));
    const reply = await withProof(client.proof(token, URI), `Bearer ${token}`);
    await expectUnauthenticated(rig, reply);
    // The other scheme is what this token wants (RFC 9449 §7.1).
    expect(challengeOf(reply)).toMatch(
      /^Bearer realm="[^"]+", error="invalid_token", DPoP realm="[^"]+", algs="[^"]+"$/,
    );
    await expectLetIn(rig, await withProof(client.proof(token, URI)));
  });

  it("is refused after it was let in, when it comes again as a bearer token", async () => {
    await expectLetIn(rig, await withProof(client.proof(token, URI)));
    await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`));
  });

  it("is refused with a binding that is not understood, beside one that is or alone", async () => {
    const { cnf } = await client.confirmation();
    for (const other of [
      { ...cnf, kid: "x" },
      { jwk: client.jwk },
      {},
      null,
      "x",
      [],
      [cnf.jkt],
      { jkt: null },
      { jkt: [cnf.jkt] },
    ]) {
      const odd = await bound({ claims: { cnf: other } });
      await expectUnauthenticated(rig, await attack(rig, `Bearer ${odd}`));
      await expectUnauthenticated(rig, await attack(rig, `DPoP ${odd}`, { dpop: client.proof(odd, URI) }));
    }
  });
});

describe("a token that is not bound", () => {
  it("is refused under the scheme DPoP, and let in as what it is", async () => {
    const unbound = await rig.issuer.sign("alice");
    const reply = await withProof(client.proof(unbound, URI), `DPoP ${unbound}`);
    await expectUnauthenticated(rig, reply);
    expect(challengeOf(reply)).toMatch(/^DPoP .*error="invalid_token"$/);
    await expectLetIn(rig, await attack(rig, `Bearer ${unbound}`));
    await expectLetIn(rig, await attack(rig, `Bearer ${unbound}`, { dpop: "whatever" }));
  });
});

describe("a request without any token", () => {
  it("is told of both schemes", async () => {
    expect(challengeOf(await rig.post(ISSUE, JSON_TYPE))).toMatch(
      /^Bearer realm="[^"]+", DPoP realm="[^"]+", algs="[^"]+"$/,
    );
  });
});

describe("a proof", () => {
  const claims = (changes: Record<string, unknown>) => () => client.proof(token, URI, { claims: changes });
  const header = (changes: Record<string, unknown>) => () => client.proof(token, URI, { header: changes });
  const without = (name: string) => claims({ [name]: undefined });
  const odd = [null, "", 0, 7, true, [], {}];

  const cases: [string, () => string | Promise<string>][] = [
    ["that is empty", () => ""],
    ["that is no JWT", () => "proof"],
    ["two in one header", () => `${client.proof(token, URI)}, ${client.proof(token, URI)}`],
    ["over 8 KB", claims({ padding: "x".repeat(6200) })],
    ["with padding", () => `${client.proof(token, URI)}==`],
    ["without a signature", () => client.proof(token, URI).replace(/[^.]+$/, "")],
    [
      "with an all-zero signature",
      () => client.proof(token, URI).replace(/[^.]+$/, Buffer.alloc(64).toString("base64url")),
    ],
    [
      "with a duplicate claim",
      () =>
        signCompact(
          JSON.stringify({ typ: "dpop+jwt", alg: "ES256", jwk: client.jwk }),
          `{"jti":"a","jti":"b","htm":"POST","htu":"${URI}","iat":${seconds()},"ath":"${athOf(token)}"}`,
          client.key,
        ),
    ],
    ["with crit", header({ crit: ["exp"], exp: 1 })],
    ["with jku", header({ jku: "https://example.com/" })],
    ...["JWT", "at+jwt", "dpop", undefined, 7, null].map((typ): [string, () => string] => [
      `with typ ${JSON.stringify(typ)}`,
      header({ typ }),
    ]),
    ...["none", "HS256", "ES384", "RS256", "EdDSA", "", undefined, 7].map((alg): [string, () => string] => [
      `with alg ${JSON.stringify(alg)}`,
      header({ alg }),
    ]),
    ...[undefined, null, "", {}, [], { kty: "oct", k: "c2VjcmV0" }, { kty: "RSA", n: "AQAB", e: "AQAB" }].map(
      (jwk): [string, () => string] => [`with jwk ${JSON.stringify(jwk)}`, header({ jwk })],
    ),
    ["with its private key", header({ jwk: { ...clientKey() } })],
    [
      "with a jwk of another algorithm",
      () => client.proof(token, URI, { header: { jwk: { ...client.jwk, alg: "ES384" } } }),
    ],
    ["with a jwk for encryption", () => client.proof(token, URI, { header: { jwk: { ...client.jwk, use: "enc" } } })],
    ["signed by another key than its own", () => client.proof(token, URI, { key: new DpopClient().key })],
    ["of another key than the token is bound to", () => new DpopClient().proof(token, URI)],
    [
      "with the bound key shown and another one used",
      () => new DpopClient().proof(token, URI, { header: { jwk: client.jwk } }),
    ],
    ...["jti", "htm", "htu", "iat", "ath"].flatMap((name): [string, () => string][] => [
      [`without ${name}`, without(name)],
      ...odd.map((value): [string, () => string] => [
        `with ${name} ${JSON.stringify(value)}`,
        claims({ [name]: value }),
      ]),
    ]),
    ["with a jti of 256 characters", claims({ jti: "x".repeat(256) })],
    ...["GET", "post", "POST ", "POST,GET"].map((htm): [string, () => string] => [`with htm ${htm}`, claims({ htm })]),
    ...[
      "http://tokens.example.com/graphql",
      "https://tokens.example.com:8443/graphql",
      "https://tokens.example.com/",
      "https://tokens.example.com/graphql/",
      "https://tokens.example.com/GraphQL",
      "https://tokens.example.com.evil.example/graphql",
      "https://tokens.example.com@evil.example/graphql",
      "https://user@tokens.example.com/graphql",
      "https://evil.example/https://tokens.example.com/graphql",
      "https:\\\\tokens.example.com\\graphql",
      "https:tokens.example.com/graphql",
      "//tokens.example.com/graphql",
      "/graphql",
      " https://tokens.example.com/graphql",
      "https://tokens.example.com/gra\tphql",
      "https://tokens.example.com/graphql%00",
      "https://tokens.example.com/%67raphql%2f",
    ].map((htu): [string, () => string] => [`with htu ${JSON.stringify(htu)}`, claims({ htu })]),
    ["with the address that the request really went to", () => client.proof(token, `${rig.gateway.url}/graphql`)],
    ["of two minutes ago", () => client.proof(token, URI, { claims: { iat: seconds() - 120 } })],
    ["of in two minutes", () => client.proof(token, URI, { claims: { iat: seconds() + 120 } })],
    ["with an iat in milliseconds", () => client.proof(token, URI, { claims: { iat: Date.now() } })],
    ["for another token", async () => client.proof(await bound({ claims: { jti: "another" } }), URI)],
    [
      "with an ath in hexadecimal",
      () => client.proof(token, URI, { claims: { ath: createHash("sha256").update(token).digest("hex") } }),
    ],
  ];

  it.each(cases)("is refused: %s", async (_, proof) => {
    await expectBadProof(await withProof(await proof()));
  });

  it("is refused when it is missing, or when there are two", async () => {
    await expectBadProof(await attack(rig, `DPoP ${token}`));
    const lines = [
      ["authorization", `DPoP ${token}`],
      ["dpop", client.proof(token, URI)],
      ["dpop", client.proof(token, URI)],
    ] as const;
    expect(await rawRequest(rig, lines)).toMatch(/^HTTP\/1.1 401 .*error="invalid_dpop_proof"/s);
    expect(await rig.takeCalls()).toEqual({});
  });

  it("is taken with the same address in other words", async () => {
    for (const htu of [
      "https://TOKENS.example.com/graphql",
      "HTTPS://tokens.example.com:443/graphql",
      "https://tokens.example.com/graphql?query=1#fragment",
      "https://tokens.example.com/./%67raphql",
    ]) {
      await expectLetIn(rig, await withProof(client.proof(token, htu)));
    }
  });

  it("is taken within a minute, either way", async () => {
    for (const iat of [seconds() - 50, seconds() + 50]) {
      await expectLetIn(rig, await withProof(client.proof(token, URI, { claims: { iat } })));
    }
  });

  it.each(["RSA", "Ed25519", "P-384"])("is taken by a key of another kind: %s", async (kind) => {
    const { pair, alg, signWith } = keyKinds[kind]?.() ?? expect.fail("no such kind");
    const jwk = pair.publicKey.export({ format: "jwk" }) as JWK;
    const own = await rig.issuer.sign("alice", { claims: { cnf: { jkt: await calculateJwkThumbprint(jwk) } } });
    const proof = await signWith(
      { typ: "dpop+jwt", alg, jwk },
      { jti: crypto.randomUUID(), htm: "POST", htu: URI, iat: seconds(), ath: athOf(own) },
    );
    await expectLetIn(rig, await withProof(proof, `DPoP ${own}`));
  });

  it("is refused by a weak key, though the token is bound to it", async () => {
    const pair = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const jwk = pair.publicKey.export({ format: "jwk" }) as JWK;
    const own = await rig.issuer.sign("alice", { claims: { cnf: { jkt: await calculateJwkThumbprint(jwk) } } });
    const payload = { jti: crypto.randomUUID(), htm: "POST", htu: URI, iat: seconds(), ath: athOf(own) };
    const proof = signCompact(JSON.stringify({ typ: "dpop+jwt", alg: "RS256", jwk }), payload, pair.privateKey);
    await expectBadProof(await withProof(proof, `DPoP ${own}`));
  });

  it("is refused when it is used twice, one of many at the same time too", async () => {
    const proof = client.proof(token, URI);
    const replies = await Promise.all(Array.from({ length: 10 }, () => withProof(proof)));
    expect(replies.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(401)]);
    await rig.takeCalls();
    await expectBadProof(await withProof(proof));
    // Neither a new token nor a new text for the same jti helps.
    const jti = "used-once";
    await expectLetIn(rig, await withProof(client.proof(token, URI, { claims: { jti } })));
    await expectBadProof(await withProof(client.proof(token, URI, { claims: { jti, iat: seconds() - 1 } })));
  });

  it("is not used up by one that fails, nor by another client's of the same jti", async () => {
    const claims = { jti: "taken-by-others" };
    await expectBadProof(await withProof(client.proof(token, URI, { claims, key: new DpopClient().key })));
    const other = new DpopClient();
    const others = await bound({}, other);
    await expectLetIn(rig, await withProof(other.proof(others, URI, { claims }), `DPoP ${others}`));
    await expectLetIn(rig, await withProof(client.proof(token, URI, { claims })));
  });
});

const athOf = (text: string) => createHash("sha256").update(text).digest("base64url");

function clientKey(): object {
  return new DpopClient().key.export({ format: "jwk" });
}

interface KeyKind {
  readonly pair: { privateKey: KeyObject; publicKey: KeyObject };
  readonly alg: string;
  readonly signWith: (header: object, claims: object) => string | Promise<string>;
}

const keyKinds: Readonly<Record<string, () => KeyKind>> = {
  RSA: () => {
    const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
    return {
      pair,
      alg: "RS256",
      signWith: (header, claims) => signCompact(JSON.stringify(header), claims, pair.privateKey),
    };
  },
  Ed25519: () => {
    const pair = generateKeyPairSync("ed25519");
    return {
      pair,
      alg: "EdDSA",
      signWith: (header, claims) => signCompact(JSON.stringify(header), claims, pair.privateKey),
    };
  },
  "P-384": () => {
    const pair = generateKeyPairSync("ec", { namedCurve: "P-384" });
    return {
      pair,
      alg: "ES384",
      signWith: async (header, claims) => {
        const { CompactSign } = await import("jose");
        const signer = new CompactSign(Buffer.from(JSON.stringify(claims)));
        return await signer.setProtectedHeader(header as { alg: string }).sign(pair.privateKey);
      },
    };
  },
};

describe("a proof that was used", () => {
  it("is refused for as long as its iat could be accepted", async () => {
    let passed = 0;
    const later = await Rig.start({ now: () => Date.now() + passed });
    try {
      const uri = `${later.gateway.url}/graphql`;
      const own = await later.issuer.sign("alice", { claims: await client.confirmation() });
      const dpop = client.proof(own, uri, { claims: { iat: seconds() + 58 } });
      await expectLetIn(later, await attack(later, `DPoP ${own}`, { dpop }));
      for (passed of [1000, 40_000, 90_000, 110_000, 114_000]) {
        await expectUnauthenticated(later, await attack(later, `DPoP ${own}`, { dpop }));
        // Others come and go meanwhile.
        const iat = seconds() + Math.floor(passed / 1000);
        await expectLetIn(
          later,
          await attack(later, `DPoP ${own}`, { dpop: client.proof(own, uri, { claims: { iat } }) }),
        );
      }
      const used = later.logLines.filter((line) => line.includes('"used_proof"'));
      expect(used).toHaveLength(5);
    } finally {
      await later.close();
    }
  });
});

describe("what the policy wants of sender-constrained callers", () => {
  it("is granted to them alone", async () => {
    const strict = await Rig.start({
      configure: (config) => ({
        ...config,
        policy: {
          rules: config.policy.rules.map((rule) => ({
            ...rule,
            when: { ...rule.when, senderConstrained: true as const },
          })),
        },
      }),
    });
    try {
      const uri = `${strict.gateway.url}/graphql`;
      const unbound = await strict.issuer.sign("alice");
      await expectRefused(strict, await attack(strict, `Bearer ${unbound}`), { status: 403, code: "FORBIDDEN" });
      const own = await strict.issuer.sign("alice", { claims: await client.confirmation() });
      await expectLetIn(strict, await attack(strict, `DPoP ${own}`, { dpop: client.proof(own, uri) }));
    } finally {
      await strict.close();
    }
  });
});

describe("proofs without a nonce that is wanted", () => {
  it("count as requests of the user, and not as failures of their address", async () => {
    const strict = await Rig.start({
      configure: (config) => ({
        ...config,
        limits: { ...config.limits, requestsPerSubject: 3, failedAuthPerAddress: 1 },
        issuers: config.issuers.map((issuer) => ({ ...issuer, dpopNonce: true })),
      }),
    });
    try {
      const uri = `${strict.gateway.url}/graphql`;
      const own = await strict.issuer.sign("alice", { claims: await client.confirmation() });
      const statuses: number[] = [];
      for (let n = 0; n < 5; n++) {
        statuses.push((await attack(strict, `DPoP ${own}`, { dpop: client.proof(own, uri) })).status);
      }
      expect(statuses).toEqual([401, 401, 401, 429, 429]);
      const others = await strict.issuer.sign("bob", { claims: await client.confirmation() });
      const reply = await attack(strict, `DPoP ${others}`, { dpop: client.proof(others, uri) });
      await expectUnauthenticated(strict, reply);
    } finally {
      await strict.close();
    }
  });
});

describe("a nonce of this gateway", () => {
  it("is asked for where the issuer's entry says so, given with the refusal and with each answer, and good for minutes", async () => {
    let passed = 0;
    const strict = await Rig.start({
      now: () => Date.now() + passed,
      configure: (config) => ({ ...config, issuers: config.issuers.map((issuer) => ({ ...issuer, dpopNonce: true })) }),
    });
    try {
      const uri = `${strict.gateway.url}/graphql`;
      const own = await strict.issuer.sign("alice", { claims: await client.confirmation() });
      const send = (nonce?: unknown) => {
        const iat = Math.floor((Date.now() + passed) / 1000);
        return attack(strict, `DPoP ${own}`, { dpop: client.proof(own, uri, { claims: { nonce, iat } }) });
      };
      const refused = await send();
      await expectUnauthenticated(strict, refused);
      expect(challengeOf(refused)).toMatch(/^DPoP .*error="use_dpop_nonce"$/);
      const nonce = refused.headers.get("dpop-nonce") ?? expect.fail("no nonce");
      expect(nonce).toMatch(/^[\x21\x23-\x5b\x5d-\x7e]+$/);
      const answer = await send(nonce);
      await expectLetIn(strict, answer);
      expect(answer.headers.get("dpop-nonce")).toBe(nonce);
      for (const wrong of ["x", `${nonce}x`, nonce.slice(0, -1), 7, null, nonce.replace(/^./, "0")]) {
        const reply = await send(wrong);
        await expectUnauthenticated(strict, reply);
        expect(challengeOf(reply)).toMatch(/error="use_dpop_nonce"$/);
      }
      passed += 120_000;
      const later = await send(nonce);
      await expectLetIn(strict, later);
      expect(later.headers.get("dpop-nonce")).not.toBe(nonce);
      passed += 120_000;
      await expectUnauthenticated(strict, await send(nonce));
      // A bearer token of that issuer needs none, and is given none.
      expect(
        (await attack(strict, `Bearer ${await strict.issuer.sign("alice")}`)).headers.get("dpop-nonce"),
      ).toBeNull();
    } finally {
      await strict.close();
    }
  });
});
