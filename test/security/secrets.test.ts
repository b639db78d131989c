import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Secret } from "../../src/config/secret.js";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.js";
import { createLogger } from "../../src/observe/logger.js";
import { createRedact } from "../../src/observe/redact.js";
import { Canaries } from "../fixtures/canaries.js";
import { Cli } from "../fixtures/cli.js";
import { AUDIENCE, TestIssuer } from "../fixtures/issuer.js";
import { RawConnection } from "../fixtures/raw.js";

const JWT = `eyJ${"h".repeat(20)}.eyJ${"c".repeat(40)}.${"s".repeat(40)}`;
/** Nobody listens there. */
const NOWHERE = "127.0.0.1:9";

/** What the log has of these fields, as text. */
function logged(fields: unknown, secrets: readonly Secret[] = [], message = "a line"): string {
  let text = "";
  const destination = new Writable({
    write: (line, _, done) => {
      text += String(line);
      done();
    },
  });
  createLogger({ level: "trace", secrets, destination }).error(fields, message);
  return text;
}

describe("the log", () => {
  const shapes: [string, string, string][] = [
    ["a JWT", `token ${JWT} was no good`, JWT],
    ["a JWT that is cut off", `token ${JWT.slice(0, 60)}`, JWT.slice(0, 60)],
    ["the beginning of one", `token ${JWT.slice(0, 23)}`, JWT.slice(0, 23)],
    ["an encrypted token", `${JWT}.${"t".repeat(20)}.${"u".repeat(20)}`, "u".repeat(20)],
    ["a JWT that runs into a word", `x_${JWT}`, JWT],
    ["a connection string", "endpoint=https://x.example.com/;accesskey=c2VjcmV0a2V5", "c2VjcmV0a2V5"],
    ["one in capitals", "Endpoint=https://x.example.com/;AccessKey=c2VjcmV0a2V5", "c2VjcmV0a2V5"],
    ["an Authorization header", "authorization: Bearer opaque-secret", "opaque-secret"],
    ["a DPoP one", "authorization: DPoP opaque-secret", "opaque-secret"],
    ["a Basic one", "authorization: Basic b3BhcXVlOnNlY3JldA==", "b3BhcXVlOnNlY3JldA"],
    ["a signed request", "HMAC-SHA256 SignedHeaders=date&Signature=c2lnbmF0dXJl", "c2lnbmF0dXJl"],
    ["a token in a query", "GET /graphql?access_token=opaque-secret&x=1", "opaque-secret"],
    ["an address with a password", "cannot reach postgres://user:pass@word/1#@db:5432/x", "pass@word/1#"],
  ];
  it.each(shapes)("hides %s, wherever it stands", (_, text, secret) => {
    const cause = new Error(text);
    const error = new Error("outer", { cause });
    error.stack = `Error: ${text}\n    at somewhere`;
    for (const line of [logged({ field: text }), logged({ err: error }), logged({ [text]: 1 }), logged({}, [], text)]) {
      expect(line).not.toContain(secret);
      expect(line).toContain("[hidden]");
      expect(() => JSON.parse(line)).not.toThrow();
    }
  });

  const encoded = "pa%22ss%5Cwo%2Frd%40";
  const configured: [string, string, string][] = [
    ["a key as it is", "c2VjcmV0/a2V5+c2VjcmV0==", "c2VjcmV0/a2V5+c2VjcmV0=="],
    ["a key in a query", "c2VjcmV0/a2V5+c2VjcmV0==", encodeURIComponent("c2VjcmV0/a2V5+c2VjcmV0==")],
    ["the password of an address", `postgres://user:${encoded}@db/x`, encoded],
    ["that password decoded", `postgres://user:${encoded}@db/x`, decodeURIComponent(encoded)],
    ["an address that cannot be parsed", "postgres://user:pass word@db/x", "postgres://user:pass word@db/x"],
    ["signs that mean something in a pattern", "(a+)+$[b]{2}|c\\d", "(a+)+$[b]{2}|c\\d"],
  ];
  it.each(configured)("hides a configured secret by its value: %s", (_, secret, shown) => {
    const line = logged({ field: `before ${shown} after`, list: [shown] }, [new Secret(secret)]);
    expect(JSON.parse(line)).toMatchObject({ field: "before [hidden] after", list: ["[hidden]"] });
  });

  it("hides a password of digits, in a number by nines, so that it stays one", () => {
    const secret = new Secret("postgres://user:179600@db/x");
    const fields = { "at\\": 1796009030123, ms: [-2.1796005, 179600], text: "user 179600", quoted: '{"p": 179600}' };
    const line = logged(fields, [secret], "at 179600");
    expect(JSON.parse(line)).toMatchObject({
      "at\\": 9999999030123,
      ms: [-2.9999995, 999999],
      text: "user [hidden]",
      quoted: '{"p": 999999}',
      msg: "at [hidden]",
    });
    expect(createRedact([secret])('connect with {"password":179600}')).toBe('connect with {"password":999999}');
  });

  it("leaves alone what is no secret", () => {
    const fields = {
      url: "http://127.0.0.1:4000/graphql",
      reason: "the token's aud is not ours",
      stack: "Error: x\n    at file:///app/node_modules/@apollo/server/index.js:1:2\n",
      identityId: "idn_0123456789abcdef",
      communicationUserId: "8:acs:0f0f_1a1a",
    };
    expect(JSON.parse(logged(fields, [new Secret("short")]))).toMatchObject(fields);
  });
});

let folder: string;
let issuer: TestIssuer;
let emulator: Emulator;
let canaries: Canaries;
let running: Cli[] = [];
let env: Record<string, string>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-secrets-"));
  issuer = await TestIssuer.start();
  canaries = new Canaries();
  emulator = await startEmulator({
    host: "127.0.0.1",
    port: 0,
    latency: "none",
    rateLimits: false,
    accessKey: canaries.key("access key", 64),
  });
  env = {
    PORT: "0",
    ADMIN_PORT: "0",
    LOG_LEVEL: "trace",
    // What libraries say of themselves, which operators turn on when something is wrong.
    AZURE_LOG_LEVEL: "verbose",
    DEBUG: "*",
    ACS_CONNECTION_STRING: emulator.connectionString,
    ACS_SECONDARY_CONNECTION_STRING: `endpoint=${emulator.endpoint};accesskey=${canaries.key("secondary access key", 64)}`,
    OIDC_ISSUER: issuer.url,
    OIDC_AUDIENCE: AUDIENCE,
    DATABASE_URL: `sqlite:${join(folder, "gateway.db")}`,
    REDIS_URL: `redis://gateway:${canaries.word("Redis password")}@${NOWHERE}/0`,
    TOKEN_CACHE_KEY: canaries.key("cache key"),
    AUDIT_KEY: canaries.key("audit key"),
    AUDIT_SIGNING_KEY: canaries.plant("signing key", newSigningKey()),
  };
});
afterEach(async () => {
  for (const cli of running) cli.kill("SIGKILL");
  await Promise.all(running.map((cli) => cli.ended()));
  running = [];
});
afterAll(async () => {
  await issuer.close();
  await emulator.close();
  rmSync(folder, { recursive: true });
});

function newSigningKey(): string {
  return generateKeyPairSync("ed25519").privateKey.export({ format: "der", type: "pkcs8" }).toString("base64");
}

async function serve(changes: Record<string, string> = {}) {
  const cli = Cli.start(["serve"], { cwd: folder, env: { ...env, ...changes } });
  running.push(cli);
  const [, url = ""] = await cli.printed(/"url":"([^"]+)"/);
  const [, adminUrl = ""] = await cli.printed(/"adminUrl":"([^"]+)"/);
  return { cli, url, adminUrl };
}

async function graphql(url: string, headers: Record<string, string>, body: unknown): Promise<string> {
  const init = { method: "POST", headers: { "content-type": "application/json", ...headers } };
  const response = await fetch(`${url}/graphql`, { ...init, body: JSON.stringify(body) });
  return await response.text();
}

const ISSUE = { query: "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { token } } }" };
const EXCHANGE =
  "mutation ($input: ExchangeTeamsUserTokenInput!) { exchangeTeamsUserToken(input: $input) { accessToken { token } userErrors { code message } } }";

/** Everything that the program says to anybody else than the token's own caller. */
async function expectSilence({ cli, url, adminUrl }: Awaited<ReturnType<typeof serve>>): Promise<void> {
  for (const address of [`${adminUrl}/metrics`, `${adminUrl}/health/ready`, `${url}/health/ready`, `${url}/nothing`]) {
    const response = await fetch(address);
    canaries.expectNoneIn(address, `${JSON.stringify([...response.headers])}${await response.text()}`);
  }
  canaries.expectNoneIn("an answer to a stranger", await graphql(url, {}, ISSUE));
  cli.kill("SIGTERM");
  await cli.ended();
  canaries.expectNoneIn("standard output", cli.stdout);
  canaries.expectNoneIn("standard error", `${cli.stderr} `);
}

describe("canary secrets, planted wherever the program meets one,", () => {
  it("turn up nowhere in good times, nor from what callers send in odd places", async () => {
    const gateway = await serve();
    const { url } = gateway;
    const good = canaries.token("a good token", await issuer.sign("alice"));
    const bad = canaries.token("an expired token", await issuer.sign("bob", { claims: { exp: 1_000_000_000 } }));
    const other = canaries.token("another issuer's token", await issuer.sign("bob", { claims: { iss: "https://x" } }));
    const garbage = canaries.word("a header of garbage");
    const issued = /"token":"([^"]+)"/.exec(await graphql(url, { authorization: `Bearer ${good}` }, ISSUE))?.[1];
    canaries.token("an issued token", issued ?? "none");
    expect(issued).toMatch(/^eyJ/);

    for (const token of [bad, other, `${good}x`, garbage]) {
      for (const scheme of ["Bearer", "DPoP", "Basic", "Digest"]) {
        await graphql(url, { authorization: `${scheme} ${token}` }, ISSUE);
      }
      await graphql(url, { authorization: token }, ISSUE);
    }
    const authorization = `Bearer ${good}`;
    for (const token of [good, bad]) {
      const places: [Record<string, string>, unknown][] = [
        [{}, { ...ISSUE, variables: { token } }],
        [{}, { query: "query ($id: ID!) { node(id: $id) { id } }", variables: { id: { token } } }],
        [{}, { query: `{ node(id: "${token}") { id } }` }],
        [{}, { query: `{ ${token} }` }],
        [{}, { query: `{ ${token.replaceAll(/[.-]/g, "_")} }` }],
        [{}, { ...ISSUE, operationName: token }],
        [{}, { ...ISSUE, extensions: { token } }],
        [{}, { [token]: ISSUE.query }],
        [{}, `${token}`],
        [{}, { query: `mutation { revokeAccessTokens(input: { reason: "${token}" }) { effectiveBy } }` }],
        [{ "x-request-id": token.slice(0, 128) }, ISSUE],
        [{ "apollographql-client-name": token, "apollographql-client-version": token }, ISSUE],
        [{ dpop: token, cookie: `token=${token}` }, ISSUE],
      ];
      for (const [headers, body] of places) {
        await graphql(url, { authorization, ...headers }, body);
        await graphql(url, headers, body);
      }
      await fetch(`${url}/graphql?access_token=${token}`, { method: "POST" });
      await fetch(`${url}/${token}`);
      await RawConnection.exchange(url, `GET / HTTP/1.1\r\nhost: x\r\nauthorization : Bearer ${token}\r\n\r\n`);
      await RawConnection.exchange(url, `${token}\r\n\r\n`);
    }
    await expectSilence(gateway);
    expect(gateway.cli.stdout).toMatch(/"reason":"\[hidden\]"/);
    expect(gateway.cli.stdout).toMatch(/"clientName":"\[hidden\]"/);
  });

  it("turn up nowhere when the service fails, and quotes them", async () => {
    const gateway = await serve();
    const { url } = gateway;
    const authorization = `Bearer ${canaries.token("a caller's token", await issuer.sign("carol"))}`;
    const teams = canaries.token(
      "a Teams user's token",
      await issuer.sign("carol", { claims: { oid: crypto.randomUUID(), appid: crypto.randomUUID() } }),
    );
    const input = { teamsUserAadToken: teams, clientId: crypto.randomUUID(), userObjectId: crypto.randomUUID() };
    const quoted = `no: ${teams} ${emulator.connectionString} Bearer ${canaries.word("what the service quotes")}`;
    const faults = [
      ...[400, 401, 403, 404, 429, 500, 503].map((status) => ({
        kind: "status",
        status,
        code: quoted,
        message: quoted,
      })),
      { kind: "status", status: 401, code: "Denied", message: quoted },
      { kind: "html503" },
      { kind: "commitThenDrop" },
    ];
    for (const fault of faults) {
      await fetch(`${emulator.endpoint}_emulator/faults`, {
        method: "POST",
        body: JSON.stringify({ operation: "*", times: 1, ...fault }),
      });
      canaries.expectNoneIn("an answer", await graphql(url, { authorization }, ISSUE));
      await fetch(`${emulator.endpoint}_emulator/faults`, { method: "DELETE" });
      const exchanged = await graphql(url, { authorization }, { query: EXCHANGE, variables: { input } });
      canaries.expectNoneIn("an answer to a Teams user", exchanged);
    }
    await expectSilence(gateway);
    expect(gateway.cli.stdout).toMatch(/request failed/);
  });

  it("turn up nowhere when the service answers a token in what cannot be read", async () => {
    const token = canaries.token("a token in a broken answer", await issuer.sign("nobody"));
    const bodies = [`{"identity":{"id":"x"},"accessToken":{"token":"${token}`, `<p>${token}</p>`, `"${token}"`, token];
    let asked = 0;
    const broken: Server = createServer((_, response) => {
      response.writeHead(asked % 2 === 0 ? 201 : 500, { "content-type": "application/json", "ms-cv": token });
      response.end(bodies[asked++ % bodies.length]);
    });
    await new Promise<void>((resolve) => broken.listen(0, "127.0.0.1", resolve));
    const endpoint = `http://127.0.0.1:${(broken.address() as AddressInfo).port}/`;
    const accessKey = canaries.key("another access key", 64);
    try {
      const gateway = await serve({
        ACS_CONNECTION_STRING: `endpoint=${endpoint};accesskey=${accessKey}`,
        ACS_SECONDARY_CONNECTION_STRING: "",
        DATABASE_URL: `sqlite:${join(folder, "broken.db")}`,
      });
      for (const user of ["a", "b", "c", "d", "e", "f", "g", "h"]) {
        const authorization = `Bearer ${await issuer.sign(user)}`;
        const answer = await graphql(gateway.url, { authorization }, ISSUE);
        expect(answer).toContain("UPSTREAM_UNAVAILABLE");
        canaries.expectNoneIn("an answer", answer);
      }
      await expectSilence(gateway);
      expect(gateway.cli.stderr).toMatch(/azure:[\s\S]+\[hidden\]/);
    } finally {
      broken.closeAllConnections();
      await new Promise((resolve) => broken.close(resolve));
    }
  });

  const password = () => canaries.word("database password");
  const starts: [string, readonly string[], () => Record<string, string>][] = [
    ["Postgres is away", ["serve"], () => ({ DATABASE_URL: `postgres://gateway:${password()}@${NOWHERE}/x` })],
    [
      "the database's address is no good",
      ["serve"],
      () => ({ DATABASE_URL: `postgres:/gateway:${password()}@${NOWHERE}` }),
    ],
    ["Redis's address is no good", ["serve"], () => ({ REDIS_URL: `http://gateway:${password()}@${NOWHERE}` })],
    ["the connection string is no good", ["serve"], () => ({ ACS_CONNECTION_STRING: `endpoint;${password()}` })],
    [
      "the access key is no base64",
      ["serve"],
      () => ({ ACS_CONNECTION_STRING: `endpoint=https://x;accesskey=${password()}` }),
    ],
    ["the keys are no good", ["serve"], () => ({ TOKEN_CACHE_KEY: password(), AUDIT_KEY: password() })],
    ["the issuer's address has a password", ["serve"], () => ({ OIDC_ISSUER: `https://gateway:${password()}@x` })],
    ["the public address has a password", ["serve"], () => ({ PUBLIC_URL: `https://gateway:${password()}@x` })],
    ["a secret stands where a number should", ["serve"], () => ({ PORT: password() })],
    ["the port is in use", ["serve"], () => ({ PORT: String(emulator.port) })],
    ["the admin port is in use", ["serve"], () => ({ ADMIN_PORT: String(emulator.port) })],
    [
      "development is asked for with it",
      ["dev"],
      () => ({ DATABASE_URL: `postgres://gateway:${password()}@${NOWHERE}/x` }),
    ],
  ];
  it.each(starts)("turn up nowhere when the start fails: %s", async (_, args, changes) => {
    const { code, stdout, stderr } = await Cli.run(args, { cwd: folder, env: { ...env, ...changes() } });
    expect({ code, said: stderr !== "" }).toEqual({ code: 2, said: true });
    canaries.expectNoneIn("the output", stdout + stderr);
  });

  it("turn up nowhere when the file that holds them is no YAML", async () => {
    const file = join(folder, "broken.yaml");
    writeFileSync(file, `acs:\n  connectionString: [${password()}\n`);
    const { code, stdout, stderr } = await Cli.run(["serve", "--config", file], { cwd: folder, env });
    expect(code).toBe(2);
    canaries.expectNoneIn("the output", stdout + stderr);
  });

  it("turn up nowhere when the configuration in force is printed", async () => {
    const { code, stdout, stderr } = await Cli.run(["config", "check"], {
      cwd: folder,
      env: { ...env, DATABASE_URL: `postgres://gateway:${password()}@db.example.com/x` },
    });
    expect(code).toBe(0);
    expect(stdout).toContain("[hidden]");
    canaries.expectNoneIn("the output", stdout + stderr);
  });
});
