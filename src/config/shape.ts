/**
 * The shape of the configuration file: names, types, ranges and defaults. What the values mean together is `check.ts`'s
 * business. The JSON Schema for editors is made from this, too.
 */
import { z } from "zod";

/** Environment values are text, so digits are taken for a number. */
const whole = (min: number, max: number) =>
  z.preprocess(
    (value) => (typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : value),
    z.int().min(min).max(max),
  );

const flag = z.preprocess((value) => (value === "true" ? true : value === "false" ? false : value), z.boolean());

const text = z.string().min(1);
const optionalText = text.nullable().default(null);
const port = whole(0, 65_535);

const SIGNATURE_ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
] as const;
export type SignatureAlgorithm = (typeof SIGNATURE_ALGORITHMS)[number];

const SCOPES = ["CHAT", "CHAT_JOIN", "CHAT_JOIN_LIMITED", "VOIP", "VOIP_JOIN"] as const;
const PERMISSIONS = ["TOKEN_ISSUE", "TOKEN_ISSUE_ANY", "IDENTITY_READ", "IDENTITY_MANAGE", "AUDIT_READ"] as const;
const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

const LOG_FORMATS = ["auto", "json", "pretty"] as const;

/** A list, in which null stands for a reference whose variable is unset. */
const references = z.array(text.nullable()).default([]);

const server = z.strictObject({
  host: text.default("127.0.0.1"),
  port: port.default(4000),
  publicUrl: optionalText,
  requestTimeoutSeconds: whole(1, 300).default(10),
  clientTimeoutSeconds: whole(1, 300).default(10),
  keepAliveSeconds: whole(1, 7200).default(75),
  maxConnections: whole(1, 1_000_000).default(10_000),
  maxRequests: whole(1, 1_000_000).default(2000),
  unreadyAtPercent: whole(0, 100).default(80),
  unreadyWithout: z.enum(["everything", "store"]).default("everything"),
  corsOrigins: references,
  proxies: z
    .strictObject({
      addresses: references,
      clientAddressHeader: optionalText,
      clientCertificateHeader: optionalText,
    })
    .prefault({}),
  admin: z.strictObject({ host: text.default("127.0.0.1"), port: port.default(9464) }).prefault({}),
});

/** In 30 s. */
const serviceLimit = whole(1, 1_000_000);

const pace = z.strictObject({
  percent: whole(1, 1_000_000_000).default(100),
  createIdentity: serviceLimit.default(1000),
  createIdentityWithToken: serviceLimit.default(1000),
  issueToken: serviceLimit.default(1000),
  revokeTokens: serviceLimit.default(500),
  deleteIdentity: serviceLimit.default(500),
  exchangeTeamsToken: serviceLimit.default(500),
});

const acs = z.strictObject({
  connectionString: optionalText,
  secondaryConnectionString: optionalText,
  endpoint: optionalText,
  timeoutSeconds: whole(1, 120).default(5),
  onLostIdentity: z.enum(["provision", "refuse"]).default("provision"),
  maxConcurrency: whole(1, 10_000).default(100),
  queueSize: whole(1, 1_000_000).default(1000),
  retryPercent: whole(0, 100).default(20),
  pace: pace.prefault({}),
});

const issuer = z.strictObject({
  issuer: text,
  audience: z.union([text, z.array(text).min(1)]),
  profile: z.enum(["rfc9068", "entra", "generic"]).default("generic"),
  algorithms: z.array(z.enum(SIGNATURE_ALGORITHMS)).min(1).default(["RS256", "PS256", "ES256", "EdDSA"]),
  subjectClaim: text.default("sub"),
  jwksUri: optionalText,
  clockToleranceSeconds: whole(0, 300).default(5),
  keyMaxAgeSeconds: whole(1, 86_400).default(300),
  keyStaleSeconds: whole(0, 604_800).default(3600),
  dpopNonce: flag.default(false),
});

const rule = z.strictObject({
  name: text,
  when: z.strictObject({
    issuer: text.optional().describe("the caller's token is of this issuer"),
    claim: text.optional().describe("name of a claim, to be compared by includes or equals"),
    includes: text.optional().describe("the claim is a list that has this text"),
    equals: text.optional().describe("the claim is this text"),
    senderConstrained: z
      .literal(true)
      .optional()
      .describe(
        "the caller has proven possession of the key that the token is bound to (DPoP, or a client certificate)",
      ),
  }),
  permissions: z.array(z.enum(PERMISSIONS)).default([]),
  scopes: z.array(z.enum(SCOPES)).default([]),
  maxLifetimeMinutes: whole(60, 1440).default(1440),
});

const limit = whole(1, 1_000_000_000);

const graphql = z.strictObject({
  introspection: flag.default(false),
  explorer: flag.default(false),
  federation: flag.default(false),
  maxTokens: whole(1, 10_000).default(500),
  maxDepth: whole(1, 50).default(8),
  maxAliases: whole(0, 1000).default(10),
  maxDirectives: whole(0, 1000).default(10),
  maxCost: whole(1, 1_000_000).default(1000),
  subscriptions: z
    .strictObject({ atOnce: whole(0, 1_000_000).default(1000), perUser: whole(1, 1_000_000).default(20) })
    .prefault({}),
  trustedDocuments: z
    .strictObject({ mode: z.enum(["off", "log", "enforce"]).default("off"), manifests: z.array(text).default([]) })
    .prefault({}),
});

export const configShape = z.strictObject({
  server: server.prefault({}),
  acs: acs.prefault({}),
  issuers: z.array(issuer).min(1),
  auth: z
    .strictObject({
      rememberedTokens: whole(0, 10_000_000).default(10_000),
      rememberedProofs: whole(1, 10_000_000).default(200_000),
    })
    .prefault({}),
  policy: z.strictObject({ rules: z.array(rule) }),
  limits: z
    .strictObject({
      mintsPerSubject: limit.default(30),
      mintsPerIssuer: limit.default(1500),
      revocationsPerSubject: limit.default(10),
      requestsPerSubject: limit.default(600),
      failedAuthPerAddress: limit.default(120),
      instances: whole(1, 10_000).default(1),
      rememberedCounts: whole(1, 10_000_000).default(100_000),
    })
    .prefault({}),
  store: z
    .strictObject({
      url: text.default("sqlite:./data/gateway.db"),
      maxConnections: whole(1, 100).default(10),
      queueSize: whole(1, 1_000_000).default(1000),
    })
    .prefault({}),
  redis: z.strictObject({ url: optionalText }).prefault({}),
  tokens: z
    .strictObject({
      cacheKeys: references,
      cacheSize: whole(1, 10_000_000).default(10_000),
      mintsAtOnce: whole(1, 1_000_000).default(2000),
    })
    .prefault({}),
  audit: z
    .strictObject({
      key: optionalText,
      queueSize: whole(1, 1_000_000).default(10_000),
      signingKey: optionalText,
      earlierKeys: references,
      checkpoints: optionalText,
      checkpointSeconds: whole(1, 86_400).default(60),
      retentionDays: whole(1, 36_500).nullable().default(null),
      sinks: z
        .array(
          z.strictObject({
            to: text.describe("a file or named pipe, or stdout"),
            required: flag.describe(
              "whether it has to have a record before that is told as kept; if not, what it loses is counted",
            ),
          }),
        )
        .default([]),
    })
    .prefault({}),
  graphql: graphql.prefault({}),
  log: z
    .strictObject({ level: z.enum(LOG_LEVELS).default("info"), format: z.enum(LOG_FORMATS).default("auto") })
    .prefault({}),
  tracing: z.strictObject({ callerTracesPerSecond: whole(0, 1_000_000).default(10) }).prefault({}),
});

export type ShapedConfig = z.output<typeof configShape>;

/** What is kept, and how it is signed; no other section is looked at, but has to be one that there is. */
export const archiveShape = z.strictObject({
  ...Object.fromEntries(Object.keys(configShape.shape).map((section) => [section, z.unknown().optional()])),
  ...configShape.pick({ store: true, audit: true }).shape,
});
