import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { Config } from "../../src/config/config.js";
import { ConfigError } from "../../src/config/fault.js";
import { loadArchiveConfig, loadConfig, printConfig } from "../../src/config/load.js";
import { secretsIn } from "../../src/config/secrets.js";
import { configShape } from "../../src/config/shape.js";
import { readSigningKey } from "../../src/config/signing-keys.js";

const SECRET = Buffer.from("a-very-secret-access-key").toString("base64");
const KEY = Buffer.alloc(32, 7).toString("base64");
const OTHER_KEY = Buffer.alloc(32, 8).toString("base64");
const SHARED_KEY = "which instances that share Postgres or Redis must have in common";
const MAKE_ONE = "make one with `openssl rand -base64 32`";
const REDIS_FORM =
  "redis.url must be redis://[user:password@]host[:port][/number], or the same with rediss:// for TLS, with special characters of user and password percent-encoded.";
const POSTGRES_PARAMETERS =
  "sslmode, sslrootcert, sslcert, sslkey, sslnegotiation, uselibpqcompat, host, port, user, password, application_name, options";
const ENV = {
  ACS_CONNECTION_STRING: `endpoint=https://x.communication.azure.com/;accesskey=${SECRET}`,
  OIDC_ISSUER: "https://issuer.example.com",
  OIDC_AUDIENCE: "api://gateway",
};
const MINIMAL = `
acs: { connectionString: "\${ACS_CONNECTION_STRING}" }
issuers:
  - { issuer: "\${OIDC_ISSUER}", audience: "\${OIDC_AUDIENCE}" }
policy: { rules: [] }
`;
const WITH_KEYS = `${MINIMAL}tokens: { cacheKeys: ["${KEY}"] }\naudit: { key: "${OTHER_KEY}" }\n`;

const RSA_KEY = generateKeyPairSync("rsa", { modulusLength: 2048 })
  .privateKey.export({ format: "pem", type: "pkcs8" })
  .toString();
const ED25519_KEY = generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" }).toString();

const folder = mkdtempSync(join(tmpdir(), "gateway-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

function load(text: string, env: Record<string, string> = ENV): Config {
  const file = join(folder, "gateway.yaml");
  writeFileSync(file, text);
  return loadConfig(file, env, "production");
}

/** The sentences, each without the place that it begins with. */
function faultsOf(start: () => unknown): string[] {
  try {
    start();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).not.toContain(SECRET);
    return (error as Error).message.split("\n").map((line) => line.replace(/^\S+?: /, ""));
  }
  return expect.fail("the configuration was accepted");
}

describe("the shipped gateway.yaml", () => {
  const shipped = (env: Record<string, string> = {}) => loadConfig(undefined, { ...ENV, ...env }, "production");

  it("has the documented defaults", () => {
    expect(shipped()).toMatchObject({
      server: { host: "127.0.0.1", port: 4000, publicUrl: null, admin: { host: "127.0.0.1", port: 9464 } },
      acs: {
        kind: "key",
        endpoint: "https://x.communication.azure.com/",
        timeoutSeconds: 5,
        maxConcurrency: 100,
        queueSize: 1000,
        retryPercent: 20,
        // https://learn.microsoft.com/azure/communication-services/concepts/service-limits
        pace: {
          percent: 100,
          createIdentity: 1000,
          createIdentityWithToken: 1000,
          issueToken: 1000,
          revokeTokens: 500,
          deleteIdentity: 500,
          exchangeTeamsToken: 500,
        },
      },
      issuers: [{ issuer: ENV.OIDC_ISSUER, audience: [ENV.OIDC_AUDIENCE], profile: "generic", subjectClaim: "sub" }],
      limits: {
        mintsPerSubject: 30,
        mintsPerIssuer: 1500,
        revocationsPerSubject: 10,
        requestsPerSubject: 600,
        failedAuthPerAddress: 120,
        rememberedCounts: 100_000,
      },
      store: { kind: "sqlite", file: "./data/gateway.db" },
      redis: { url: null },
      tokens: { cacheKeys: [], cacheSize: 10_000, mintsAtOnce: 2000 },
      audit: {
        key: null,
        queueSize: 10_000,
        signingKey: null,
        earlierKeys: [],
        checkpoints: null,
        checkpointSeconds: 60,
        retentionDays: null,
        sinks: [],
      },
      auth: { rememberedTokens: 10_000, rememberedProofs: 200_000 },
      graphql: { maxTokens: 500, maxDepth: 8, maxAliases: 10, maxDirectives: 10, trustedDocuments: { mode: "off" } },
      log: { level: "info" },
    });
  });

  it("has the documented three rules", () => {
    expect(shipped().policy.rules).toMatchObject([
      {
        name: "members",
        when: {},
        permissions: ["TOKEN_ISSUE"],
        scopes: ["CHAT", "CHAT_JOIN", "VOIP", "VOIP_JOIN"],
        maxLifetimeMinutes: 1440,
      },
      { name: "admins", when: { claim: "roles", includes: "Gateway.Admin" } },
      {
        name: "auditors",
        when: { claim: "roles", includes: "Gateway.Auditor" },
        permissions: ["IDENTITY_READ", "AUDIT_READ"],
      },
    ]);
  });

  it("takes every documented environment variable", () => {
    const config = shipped({
      HOST: "0.0.0.0",
      PORT: "4100",
      PUBLIC_URL: "https://tokens.example.com",
      ADMIN_HOST: "::1",
      ADMIN_PORT: "9500",
      DATABASE_URL: "sqlite:/data/x.db",
      REDIS_URL: `rediss://gateway:${SECRET}@redis.example.com:6380/2`,
      TOKEN_CACHE_KEY: KEY,
      AUDIT_KEY: OTHER_KEY,
      LOG_LEVEL: "debug",
      LIMIT_MINTS_PER_SUBJECT: "1",
      LIMIT_MINTS_PER_ISSUER: "2",
      LIMIT_REVOCATIONS_PER_SUBJECT: "5",
      LIMIT_REQUESTS_PER_SUBJECT: "3",
      LIMIT_FAILED_AUTH_PER_ADDRESS: "4",
      ACS_PACE_PERCENT: "50",
    });
    expect(config).toMatchObject({
      server: {
        host: "0.0.0.0",
        port: 4100,
        publicUrl: "https://tokens.example.com",
        admin: { host: "::1", port: 9500 },
      },
      store: { file: "/data/x.db" },
      log: { level: "debug" },
      limits: {
        mintsPerSubject: 1,
        mintsPerIssuer: 2,
        revocationsPerSubject: 5,
        requestsPerSubject: 3,
        failedAuthPerAddress: 4,
      },
      acs: { pace: { percent: 50, issueToken: 1000 } },
    });
    expect(config.redis.url?.reveal()).toBe(`rediss://gateway:${SECRET}@redis.example.com:6380/2`);
    expect(config.tokens.cacheKeys.map((key) => key.reveal())).toEqual([KEY]);
    expect(config.audit.key?.reveal()).toBe(OTHER_KEY);
    const { ACS_CONNECTION_STRING: _, ...rest } = ENV;
    const entra = loadConfig(undefined, { ...rest, ACS_ENDPOINT: "https://x.communication.azure.com" }, "production");
    expect(entra.acs).toMatchObject({ kind: "entra", endpoint: "https://x.communication.azure.com" });
  });

  it("says all that is missing in an empty environment at once", () => {
    expect(faultsOf(() => loadConfig(undefined, {}, "production"))).toEqual([
      "acs needs the resource: set ACS_CONNECTION_STRING, or ACS_ENDPOINT for Microsoft Entra ID.",
      "issuers[0].issuer needs the environment variable OIDC_ISSUER, which is not set.",
      "issuers[0].audience needs the environment variable OIDC_AUDIENCE, which is not set.",
    ]);
  });

  it("documents every setting: each has a description in the JSON Schema for editors", () => {
    interface JsonSchema {
      description?: string;
      properties?: Record<string, JsonSchema>;
      items?: JsonSchema;
    }
    const bare: string[] = [];
    const walk = (schema: JsonSchema, path: string) => {
      for (const [name, property] of Object.entries(schema.properties ?? {})) {
        if (!property.description) bare.push(`${path}${name}`);
        walk(property, `${path}${name}.`);
      }
      if (schema.items) walk(schema.items, `${path}[].`);
    };
    walk(JSON.parse(readFileSync("schema/config.schema.json", "utf8")) as JsonSchema, "");
    expect(bare).toEqual([]);
  });
});

describe("a broken file", () => {
  const cases: [string, string, Record<string, string>, string[]][] = [
    [
      "a section within itself",
      `${MINIMAL}log: &log { level: *log }`,
      ENV,
      ["the file has an alias (*name) without its anchor, too many of them, or one within its own."],
    ],
    [
      "several origins in one",
      `${MINIMAL}server: { corsOrigins: ["https://a.example,https://b.example"] }`,
      ENV,
      ["server.corsOrigins[0] must be one origin; for more, list each under server.corsOrigins in a file of your own."],
    ],
    ["a number below zero", MINIMAL.concat('server: { port: "-1" }'), ENV, ["server.port must be at least 0."]],
    [
      "an issuer with a query",
      MINIMAL,
      { ...ENV, OIDC_ISSUER: "https://issuer.example.com/?x=1" },
      ["issuers[0].issuer must not have a query or a fragment."],
    ],
    ...[" https://issuer.example.com", "https://issuer.example.com\n"].map((issuer): (typeof cases)[number] => [
      `an issuer with a blank at an end (${JSON.stringify(issuer)})`,
      MINIMAL,
      { ...ENV, OIDC_ISSUER: issuer },
      ["issuers[0].issuer begins or ends with a blank, which no token's would; it is compared to the letter."],
    ]),
    [
      "an audience with a blank before it",
      MINIMAL,
      { ...ENV, OIDC_AUDIENCE: " api://gateway" },
      ["issuers[0].audience begins or ends with a blank, which no token's would; it is compared to the letter."],
    ],
    ["an unknown key", `${MINIMAL}sever: { port: 1 }`, ENV, ["sever is not a setting; gateway.yaml lists them all."]],
    [
      "an unknown key deep down",
      `${MINIMAL}server: { admin: { prot: 1 } }`,
      ENV,
      ["server.admin.prot is not a setting; gateway.yaml lists them all."],
    ],
    ["a wrong type", `${MINIMAL}server: { port: many }`, ENV, ["server.port must be a whole number."]],
    ["a port out of range", `${MINIMAL}server: { port: 70000 }`, ENV, ["server.port must be at most 65535."]],
    [
      "a section that is a value",
      `${MINIMAL}server: 4000`,
      ENV,
      ["server must be a section with settings of its own."],
    ],
    [
      "an unset variable",
      `${MINIMAL}server: { host: "\${NOT_SET}" }`,
      ENV,
      ["server.host needs the environment variable NOT_SET, which is not set."],
    ],
    [
      "both ways to the resource",
      MINIMAL.replace("acs: {", 'acs: { endpoint: "https://y.example.com",'),
      ENV,
      ["acs has both a connectionString and an endpoint; keep one (ACS_CONNECTION_STRING or ACS_ENDPOINT)."],
    ],
    [
      "no way to the resource",
      MINIMAL.replace(/acs:.*\n/, ""),
      { ...ENV, ACS_CONNECTION_STRING: "", ACS_ENDPOINT: "" },
      ["acs needs the resource: set ACS_CONNECTION_STRING, or ACS_ENDPOINT for Microsoft Entra ID."],
    ],
    [
      "a connection string in the clear",
      MINIMAL,
      { ...ENV, ACS_CONNECTION_STRING: `endpoint=http://example.com/;accesskey=${SECRET}` },
      ["acs.connectionString has an endpoint that must be https; plain http is accepted on loopback only."],
    ],
    [
      "a connection string that is none",
      MINIMAL,
      { ...ENV, ACS_CONNECTION_STRING: SECRET },
      ["acs.connectionString must read endpoint=https://<resource>.communication.azure.com/;accesskey=<base64 key>."],
    ],
    [
      "a key that is not base64",
      MINIMAL,
      { ...ENV, ACS_CONNECTION_STRING: "endpoint=https://x.example.com/;accesskey=%%%" },
      ["acs.connectionString has an accesskey that is not base64; copy it again from the resource's Keys page."],
    ],
    [
      "an issuer in the clear",
      MINIMAL,
      { ...ENV, OIDC_ISSUER: "http://issuer.example.com" },
      ["issuers[0].issuer must be https; plain http is accepted on loopback only."],
    ],
    [
      "an issuer that only looks like loopback",
      MINIMAL,
      { ...ENV, OIDC_ISSUER: "http://127.0.0.1.example.com" },
      ["issuers[0].issuer must be https; plain http is accepted on loopback only."],
    ],
    [
      "an issuer twice",
      MINIMAL.replace("policy:", '  - { issuer: "${OIDC_ISSUER}", audience: b }\npolicy:'),
      ENV,
      ["issuers[1].issuer is listed twice; give it one entry with a list of audiences."],
    ],
    ["no issuer", MINIMAL.replace(/issuers:\n.*\n/, "issuers: []\n"), ENV, ["issuers must not be empty."]],
    [
      "a symmetric algorithm",
      MINIMAL.replace("audience:", "algorithms: [HS256], audience:"),
      ENV,
      [
        "issuers[0].algorithms[0] must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519.",
      ],
    ],
    [
      "a rule that compares nothing",
      MINIMAL.replace("[]", "[{ name: a, when: { claim: roles }, scopes: [CHAT] }]"),
      ENV,
      ["policy.rules[0].when names a claim and needs one of includes and equals."],
    ],
    [
      "a rule without a claim",
      MINIMAL.replace("[]", "[{ name: a, when: { equals: x }, scopes: [CHAT] }]"),
      ENV,
      ["policy.rules[0].when compares with includes or equals but names no claim."],
    ],
    [
      "a rule for an issuer that is not accepted",
      MINIMAL.replace("[]", "[{ name: a, when: { issuer: https://b.example.com }, scopes: [CHAT] }]"),
      ENV,
      ["policy.rules[0].when.issuer is none of the issuers in this file, so the rule could never match."],
    ],
    [
      "a rule that grants nothing",
      MINIMAL.replace("[]", "[{ name: a, when: {}, maxLifetimeMinutes: 60 }]"),
      ENV,
      ["policy.rules[0] grants nothing: give it permissions or scopes, or take it away."],
    ],
    [
      "a lifetime under the service's least",
      MINIMAL.replace("[]", "[{ name: a, when: {}, maxLifetimeMinutes: 59 }]"),
      ENV,
      ["policy.rules[0].maxLifetimeMinutes must be at least 60."],
    ],
    ...[
      `postgres://u:${SECRET}@h`,
      `postgres://u:${SECRET}@h/`,
      `postgres://u:${SECRET}@h/a/b`,
      `postgres://u:${SECRET}#/@h/d`,
      `postgres://u:${SECRET}%zz@h/d`,
      `postgres://u:${SECRET}@h:port/d`,
      `postgres://u:p@${SECRET}/w#rd@h:5432/d`,
      `postgres://u:p@${SECRET}/w#`,
      `postgres://u:p@${SECRET}/w?rd@h:5432/d`,
      `postgres://u:p@${SECRET}/wrd@h`,
      `postgres:///d?password=${SECRET}`,
      `postgres:${SECRET}`,
    ].map((url): (typeof cases)[number] => [
      `a Postgres URL that is none (${url.replace(SECRET, "…")})`,
      `${WITH_KEYS}store: { url: "${url}" }`,
      ENV,
      [
        "store.url must read postgres://[USER:PASSWORD@]HOST:5432/DATABASE, with special characters of the password percent-encoded.",
      ],
    ]),
    [
      "another database",
      `${MINIMAL}store: { url: "mysql://u:${SECRET}@h/d" }`,
      ENV,
      [
        "store.url must be sqlite:FILE, such as sqlite:./data/gateway.db, or postgres://[USER:PASSWORD@]HOST:5432/DATABASE.",
      ],
    ],
    [
      "no connection to Postgres at all",
      `${WITH_KEYS}store: { url: "postgres://h/d", maxConnections: 0 }`,
      ENV,
      ["store.maxConnections must be at least 1."],
    ],
    [
      "Redis without the keys that instances share",
      `${MINIMAL}redis: { url: "redis://:${SECRET}@h" }`,
      ENV,
      [
        `tokens.cacheKeys needs a key, ${SHARED_KEY}: set TOKEN_CACHE_KEY; ${MAKE_ONE}.`,
        `audit.key is needed, ${SHARED_KEY}: set AUDIT_KEY; ${MAKE_ONE}.`,
      ],
    ],
    ["Redis by another protocol", `${WITH_KEYS}redis: { url: "https://:${SECRET}@h" }`, ENV, [REDIS_FORM]],
    ["Redis without a host", `${WITH_KEYS}redis: { url: "redis:///1" }`, ENV, [REDIS_FORM]],
    ["Redis with a path", `${WITH_KEYS}redis: { url: "redis://h/one" }`, ENV, [REDIS_FORM]],
    [
      "Redis with a password that is not encoded",
      `${WITH_KEYS}redis: { url: "redis://:${SECRET}/@h" }`,
      ENV,
      [REDIS_FORM],
    ],
    [
      "Redis with a password that is badly encoded",
      `${WITH_KEYS}redis: { url: "redis://:${SECRET}%zz@h" }`,
      ENV,
      [REDIS_FORM],
    ],
    ["Redis with options of its client", `${WITH_KEYS}redis: { url: "redis://h?commandTimeout=0" }`, ENV, [REDIS_FORM]],
    [
      "a cache key of the wrong length",
      `${MINIMAL}tokens: { cacheKeys: ["${KEY}", "${SECRET}"] }`,
      ENV,
      [`tokens.cacheKeys[1] must be 32 bytes in base64; ${MAKE_ONE}.`],
    ],
    [
      "an audit key that is not base64",
      `${MINIMAL}audit: { key: "${SECRET.slice(0, 4)}-_%${KEY.slice(7)}" }`,
      ENV,
      [`audit.key must be 32 bytes in base64; ${MAKE_ONE}.`],
    ],
    ...["short", RSA_KEY, SECRET].map((key): [string, string, Record<string, string>, string[]] => [
      "a key for checkpoints that is not Ed25519",
      `${MINIMAL}audit: { signingKey: ${JSON.stringify(key)} }`,
      ENV,
      [
        "audit.signingKey must be an Ed25519 private key in PKCS#8, as PEM or as DER in base64; make one with openssl genpkey -algorithm ed25519.",
      ],
    ]),
    ...["short", RSA_KEY, ED25519_KEY].map((key): (typeof cases)[number] => [
      "an earlier key for checkpoints that is no public one of Ed25519",
      `${MINIMAL}audit: { earlierKeys: [${JSON.stringify(key)}] }`,
      ENV,
      [
        "audit.earlierKeys[0] must be an Ed25519 public key, as PEM or as DER in base64; it stands in each checkpoint that it signed.",
      ],
    ]),
    [
      "no number of days for audit records to be kept",
      `${MINIMAL}audit: { retentionDays: 0 }`,
      ENV,
      ["audit.retentionDays must be at least 1."],
    ],
    ...[
      ["http://collector.example.com/", "must be https; plain http is accepted on loopback only."],
      ["ftp://collector.example.com/", "must be an address such as https://example.com."],
      ["https://u:p@collector.example.com/", "must not hold a user name or password."],
    ].map(([place, fault]): (typeof cases)[number] => [
      `an address for checkpoints that they are not safe on (${place})`,
      `${MINIMAL}audit: { checkpoints: "${place}" }`,
      ENV,
      [`audit.checkpoints ${fault}`],
    ]),
    [
      "sinks for audit records that are none, or are there twice",
      `${MINIMAL}audit: { sinks: [{ to: "https://h/", required: true }, { to: a, required: false }, { to: a, required: true }] }`,
      ENV,
      [
        "audit.sinks[0].to must be a file, a named pipe, or stdout.",
        "audit.sinks[2].to is listed twice; keep the first.",
      ],
    ],
    [
      "a sink that does not say whether it is required",
      `${MINIMAL}audit: { sinks: [{ to: a }] }`,
      ENV,
      ["audit.sinks[0].required is required."],
    ],
    [
      "a sink in the file of the checkpoints",
      `${MINIMAL}audit: { checkpoints: a, sinks: [{ to: a, required: false }] }`,
      ENV,
      ["audit.sinks[0].to is where the checkpoints go; choose another file."],
    ],
    [
      "a cache key twice",
      `${MINIMAL}tokens: { cacheKeys: ["${KEY}", "${OTHER_KEY}", "${KEY}"] }`,
      ENV,
      ["tokens.cacheKeys[2] is listed twice; keep the first."],
    ],
    [
      "a database in memory",
      `${MINIMAL}store: { url: "sqlite::memory:" }`,
      ENV,
      ["store.url must name a file: identities kept in memory are lost for good at the next start."],
    ],
    [
      "development settings",
      `${MINIMAL}graphql: { introspection: true }`,
      ENV,
      ["graphql.introspection is a development setting, which `serve` refuses; set it to false, or run `dev`."],
    ],
    [
      "text that is not YAML",
      `a: [\n"${SECRET}": }`,
      ENV,
      ["the file is not YAML: bad indent.", "the file is not YAML: unexpected token."],
    ],
    [
      "a public address with an empty fragment",
      `${MINIMAL}server: { publicUrl: "https://tokens.example.com#" }`,
      ENV,
      ["server.publicUrl must not have a query or a fragment."],
    ],
    [
      "a public address with a query",
      `${MINIMAL}server: { publicUrl: "https://tokens.example.com/?a=1" }`,
      ENV,
      ["server.publicUrl must not have a query or a fragment."],
    ],
    [
      "an origin with a path, and a wildcard",
      `${MINIMAL}server: { corsOrigins: ["https://app.example.com/", "*"] }`,
      ENV,
      [
        "server.corsOrigins[0] must be an origin as browsers send it, here https://app.example.com.",
        "server.corsOrigins[1] must be an address such as https://example.com.",
      ],
    ],
    [
      "proxies that are no addresses",
      `${MINIMAL}server: { proxies: { addresses: ["10.0.0.0/33", "proxy.example.com", "::1/129"] } }`,
      ENV,
      [0, 1, 2].map((at) => `server.proxies.addresses[${at}] must be an IP address, or a range such as 10.0.0.0/8.`),
    ],
    [
      "several proxies in one",
      MINIMAL,
      { ...ENV, TRUSTED_PROXY: "10.0.0.0/8,::1", CLIENT_ADDRESS_HEADER: "x-forwarded-for" },
      [
        "server.proxies.addresses[0] must be one IP address or range; for more, list each under server.proxies.addresses in a file of your own.",
      ],
    ],
    [
      "several audiences in one",
      MINIMAL,
      { ...ENV, OIDC_AUDIENCE: "api://gateway,api://other" },
      [
        "issuers[0].audience must be one audience; for more, or one with a comma, list each under issuers[0].audience in a file of your own.",
      ],
    ],
    [
      "proxies whose word is taken for nothing",
      MINIMAL,
      { ...ENV, TRUSTED_PROXY: "10.0.0.0/8" },
      [
        "server.proxies.addresses are of no use without the name of the header in which their word is taken: set CLIENT_ADDRESS_HEADER, such as x-forwarded-for, or clientCertificateHeader.",
      ],
    ],
    [
      "proxies that are everybody",
      MINIMAL,
      { ...ENV, TRUSTED_PROXY: "0.0.0.0/0", CLIENT_ADDRESS_HEADER: "x-forwarded-for" },
      ["server.proxies.addresses[0] is every address, so that whoever calls is believed; name those of the proxies."],
    ],
    [
      "a Postgres URL with an sslmode that there is not",
      WITH_KEYS,
      { ...ENV, DATABASE_URL: "postgres://u@h/d?sslmode=requre" },
      ["store.url has an sslmode that is none of disable, allow, prefer, require, verify-ca, verify-full, no-verify."],
    ],
    [
      "a Postgres URL with an empty sslmode, which would be none",
      WITH_KEYS,
      { ...ENV, DATABASE_URL: "postgres://u@h/d?sslmode=verify-full&sslmode=" },
      ["store.url has an sslmode that is none of disable, allow, prefer, require, verify-ca, verify-full, no-verify."],
    ],
    ...["ssl_mode", "sslMode", "ssl-mode", "ssl", "statement_timeout"].map((name): (typeof cases)[number] => [
      `a Postgres URL with the parameter ${name}`,
      WITH_KEYS,
      { ...ENV, DATABASE_URL: `postgres://u@h/d?application_name=x&${name}=${SECRET}` },
      [`store.url has the parameter "${name}" that is none of ${POSTGRES_PARAMETERS}.`],
    ]),
    [
      "a Postgres URL with a parameter that may be a piece of the password",
      WITH_KEYS,
      { ...ENV, DATABASE_URL: `postgres:///d?host=/run&password=a&${SECRET}` },
      [`store.url has a parameter that is none of ${POSTGRES_PARAMETERS}.`],
    ],
    [
      "a proxy's header without proxies",
      `${MINIMAL}server: { proxies: { clientAddressHeader: X-Forwarded-For, clientCertificateHeader: "client cert" } }`,
      ENV,
      [
        "server.proxies.clientAddressHeader needs proxies.addresses: from anyone else the header proves nothing.",
        "server.proxies.clientCertificateHeader must be the name of a header.",
      ],
    ],
    [
      "a second key that is the first",
      MINIMAL.replace("acs: {", 'acs: { secondaryConnectionString: "${ACS_CONNECTION_STRING}",'),
      ENV,
      ["acs.secondaryConnectionString has the same key; take the other one from the resource's Keys page."],
    ],
    [
      "a second key of another resource",
      MINIMAL.replace(
        "acs: {",
        `acs: { secondaryConnectionString: "endpoint=https://y.communication.azure.com/;accesskey=${OTHER_KEY}",`,
      ),
      ENV,
      ["acs.secondaryConnectionString is of another resource; it is for the other of the resource's two keys."],
    ],
    [
      "a second key without a first",
      `${MINIMAL.replace(/acs:.*\n/, "")}acs: { endpoint: "https://x.example.com", secondaryConnectionString: "endpoint=https://x.example.com/;accesskey=${OTHER_KEY}" }`,
      { ...ENV, ACS_CONNECTION_STRING: "" },
      ["acs.secondaryConnectionString stands beside a connectionString only; set ACS_CONNECTION_STRING."],
    ],
    [
      "trusted documents to enforce, and none",
      `${MINIMAL}graphql: { trustedDocuments: { mode: enforce } }`,
      ENV,
      ["graphql.trustedDocuments.manifests is needed: without one, enforce would refuse every operation."],
    ],
    ["an empty file", "", ENV, ["the file is empty; start from the shipped gateway.yaml."]],
  ];
  it.each(cases)("is refused with one sentence: %s", (_, text, env, sentences) => {
    expect(faultsOf(() => load(text, env))).toEqual(sentences);
  });

  it("is refused with a sentence for each of several faults, and the line of each", () => {
    const file = join(folder, "gateway.yaml");
    const start = () => load(`${MINIMAL}server:\n  port: x\n  host: 7\n`);
    expect(start).toThrow(`${file}:7: server.port must be a whole number.\n${file}:8: server.host must be a text.`);
  });

  it("that does not exist is named, with the cure", () => {
    expect(() => loadConfig("/nowhere.yaml", ENV, "production")).toThrow(
      /^\/nowhere.yaml: the file cannot be read \(ENOENT\); name another/,
    );
  });
});

describe("a file that leaves something out", () => {
  it("gets it as it is shipped, references and all, but for issuers and policy", () => {
    const env = { ...ENV, PORT: "4200", DATABASE_URL: "sqlite:/data/y.db", LIMIT_MINTS_PER_SUBJECT: "7" };
    const config = load(`${MINIMAL}server: { requestTimeoutSeconds: 3 }`, env);
    expect(config).toMatchObject({
      server: { host: "127.0.0.1", port: 4200, requestTimeoutSeconds: 3, admin: { port: 9464 } },
      store: { file: "/data/y.db" },
      limits: { mintsPerSubject: 7 },
      policy: { rules: [] },
    });
    expect(faultsOf(() => load("log: { level: info }", ENV))).toEqual(["issuers is required.", "policy is required."]);
  });

  it("gets the same from the shape's own defaults, which are for editors", () => {
    const shipped = loadConfig(undefined, ENV, "production");
    const { server, limits, graphql, log } = configShape.parse({
      issuers: [{ issuer: "i", audience: "a" }],
      policy: { rules: [] },
    });
    expect({ server, limits, graphql, log }).toEqual({
      server: shipped.server,
      limits: shipped.limits,
      graphql: shipped.graphql,
      log: shipped.log,
    });
  });
});

describe("a file of which only the database is read", () => {
  const read = (text: string, env: Record<string, string> = {}) => {
    const file = join(folder, "gateway.yaml");
    writeFileSync(file, text);
    return loadArchiveConfig(file, env);
  };

  it("needs nothing of the service or an issuer, nor has it to be right", () => {
    const env = { DATABASE_URL: "postgres://a:b@c/d", AUDIT_KEY: OTHER_KEY };
    const { store, audit } = loadArchiveConfig(undefined, env);
    expect(store).toMatchObject({ kind: "postgres", maxConnections: 10 });
    expect(secretsIn(audit).map((secret) => secret.reveal())).toEqual([OTHER_KEY]);
    expect(read("server: { port: x }\ntokens: 7\nissuers: []", env)).toEqual({ store, audit });
  });

  it("is refused for what is wrong there, and for a section that is none", () => {
    expect(faultsOf(() => read("audit: { sink: [] }\nstored: {}\nserver: { port: x }"))).toEqual([
      "audit.sink is not a setting; gateway.yaml lists them all.",
      "stored is not a setting; gateway.yaml lists them all.",
    ]);
    expect(faultsOf(() => read(`store: { url: "\${NOWHERE}" }\naudit: { key: short }`))).toEqual([
      "store.url needs the environment variable NOWHERE, which is not set.",
      "audit.key must be 32 bytes in base64; make one with `openssl rand -base64 32`.",
    ]);
  });
});

describe("a Postgres database", () => {
  it.each([
    `postgres://gateway:${SECRET}@db.example.com:5432/gateway`,
    `postgresql://gateway:${SECRET}@[::1]/gateway?sslmode=verify-full`,
    `postgresql://gateway:${SECRET}@h/gateway?uselibpqcompat=true&sslmode=verify-ca&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem`,
    `postgresql://gateway:${SECRET}@h/gateway?application_name=tokens&options=-c%20search_path%3Dgateway`,
    `postgres:///gateway?host=/var/run/postgresql&user=gateway&password=${SECRET}`,
    `postgres:///gateway?host=/cloudsql/p:r:i&user=sa@project.iam&password=${SECRET}`,
    "postgres://localhost/gateway",
  ])("is named by its URL, which is a secret: %s", (url) => {
    const config = load(`${WITH_KEYS}store: { url: "\${DATABASE_URL}" }`, { ...ENV, DATABASE_URL: url });
    expect(config.store).toMatchObject({ kind: "postgres", maxConnections: 10, queueSize: 1000 });
    expect(config.store.kind === "postgres" && config.store.url.reveal()).toBe(url);
    const printed = printConfig(config);
    expect(parse(printed)).toMatchObject({ store: { kind: "postgres", url: "[hidden]", maxConnections: 10 } });
    for (const text of [printed, inspect(config, { depth: 9 })]) {
      expect(text).not.toContain(SECRET);
      expect(text).not.toContain(url);
    }
  });
});

describe("references to the environment", () => {
  it("never add structure", () => {
    const text = MINIMAL.replace(/audience: (.*?) }/, "audience: [$1] }");
    const config = load(text, { ...ENV, OIDC_AUDIENCE: "a, b]\nserver: { port: 1 }" });
    expect(config.issuers[0]?.audience).toEqual(["a, b]\nserver: { port: 1 }"]);
  });

  it("can be a part of a value, and have a default", () => {
    const config = load(`${MINIMAL}server: { host: "\${A:-x}.\${B:-y}.z" }`, { ...ENV, A: "one" });
    expect(config.server.host).toBe("one.y.z");
  });

  it("count as unset when empty", () => {
    expect(faultsOf(() => load(MINIMAL, { ...ENV, OIDC_ISSUER: "" }))).toEqual([
      "issuers[0].issuer needs the environment variable OIDC_ISSUER, which is not set.",
    ]);
  });
});

describe("the keys of the token cache", () => {
  it("keep their order, and an entry whose variable is unset is left out", () => {
    const text = `${MINIMAL}tokens: { cacheKeys: ["\${NEW_KEY:-}", "${OTHER_KEY}", "${KEY}"] }`;
    const keys = (env: Record<string, string>) => load(text, { ...ENV, ...env }).tokens.cacheKeys;
    expect(keys({}).map((key) => key.reveal())).toEqual([OTHER_KEY, KEY]);
    const newKey = Buffer.alloc(32, 9).toString("base64");
    expect(keys({ NEW_KEY: newKey }).map((key) => key.reveal())).toEqual([newKey, OTHER_KEY, KEY]);
  });
});

describe("the public address", () => {
  it.each([
    ["https://Tokens.Example.com:443/", "https://tokens.example.com"],
    ["https://tokens.example.com/base//", "https://tokens.example.com/base"],
    ["https://bücher.example/a b", "https://xn--bcher-kva.example/a%20b"],
    ["http://127.0.0.1:4000", "http://127.0.0.1:4000"],
  ])("is in the spelling that proofs are compared with: %s", (written, kept) => {
    expect(load(`${MINIMAL}server: { publicUrl: "${written}" }`).server.publicUrl).toBe(kept);
  });
});

describe("the key that signs checkpoints", () => {
  it("is taken from the environment as PEM with its lines, or as DER in base64", () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    const pem = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
    const der = privateKey.export({ format: "der", type: "pkcs8" }).toString("base64");
    for (const key of [pem, der]) {
      const config = loadConfig(undefined, { ...ENV, AUDIT_SIGNING_KEY: key }, "production");
      expect(readSigningKey(config.audit.signingKey?.reveal() ?? "")?.equals(privateKey)).toBe(true);
      expect(printConfig(config)).not.toContain(der.slice(20));
    }
  });
});

describe("the place for checkpoints", () => {
  const placeOf = (place: string) =>
    loadConfig(undefined, { ...ENV, AUDIT_CHECKPOINTS: place }, "production").audit.checkpoints;

  it("is standard output, a file, or an address", () => {
    expect(placeOf("stdout")).toEqual({ kind: "stdout" });
    expect(placeOf("./checkpoints.jsonl")).toEqual({ kind: "file", file: "./checkpoints.jsonl" });
    for (const address of ["https://collector.example.com/", "http://127.0.0.1:8080/", "HTTPS://[::1]/"])
      expect(placeOf(address)).toMatchObject({ kind: "address" });
  });

  it("is not printed when it is an address, which may hold a key", () => {
    const config = loadConfig(undefined, { ...ENV, AUDIT_CHECKPOINTS: `https://h/?key=${SECRET}` }, "production");
    expect(printConfig(config)).not.toContain(SECRET);
    expect(secretsIn(config).map((secret) => secret.reveal())).toContain(`https://h/?key=${SECRET}`);
  });
});

describe("secrets", () => {
  it("of Redis, the cache and the audit trail are hidden in the printed configuration", () => {
    const env = { ...ENV, REDIS_URL: `redis://:${SECRET}@h`, TOKEN_CACHE_KEY: KEY, AUDIT_KEY: OTHER_KEY };
    const printed = printConfig(loadConfig(undefined, env, "production"));
    for (const secret of [SECRET, KEY, OTHER_KEY]) expect(printed).not.toContain(secret);
    expect(parse(printed)).toMatchObject({
      redis: { url: "[hidden]" },
      tokens: { cacheKeys: ["[hidden]"] },
      audit: { key: "[hidden]", queueSize: 10_000 },
    });
  });

  it("are hidden in the printed configuration, which is YAML with all else in it", () => {
    const config = loadConfig(undefined, ENV, "production");
    const printed = printConfig(config);
    expect(printed).not.toContain(SECRET);
    expect(parse(printed)).toMatchObject({
      acs: { endpoint: "https://x.communication.azure.com/", accessKeys: ["[hidden]"] },
      server: { port: 4000 },
    });
    for (const text of [
      inspect(config, { depth: 9 }),
      JSON.stringify(config),
      `${config.acs.kind === "key" && config.acs.accessKeys}`,
    ]) {
      expect(text).not.toContain(SECRET);
    }
  });
});
