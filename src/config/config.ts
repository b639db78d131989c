/**
 * The configuration: what the operator decides, read once at the start.
 *
 * `readConfig` turns YAML text and the environment into plain values, `checkConfig` turns those into this typed
 * `Config` or a sentence per fault. Both are pure. Behind them nothing sees raw text: an address is known to be sound, a
 * secret is a `Secret`.
 */
import type { ProxyConfig } from "./proxy.js";
import type { Secret } from "./secret.js";
import type { ShapedConfig } from "./shape.js";
import type { TraceExport } from "./trace-export.js";

type Shaped<Section extends keyof ShapedConfig> = ShapedConfig[Section];

/** How to reach the Communication Services resource, and as whom. */
export type AcsAccess =
  /** One or two keys of the resource: the second is used when the service refuses the first. */
  | { readonly kind: "key"; readonly endpoint: string; readonly accessKeys: readonly [Secret, ...Secret[]] }
  | { readonly kind: "entra"; readonly endpoint: string };

/** What is asked of the resource, and how much at a time. */
type AcsSettings = Readonly<Omit<Shaped<"acs">, "connectionString" | "secondaryConnectionString" | "endpoint">>;

/** Where identities are kept. The URL of a Postgres database holds its password. */
export type StoreConfig =
  | { readonly kind: "sqlite"; readonly file: string }
  | { readonly kind: "postgres"; readonly url: Secret; readonly maxConnections: number; readonly queueSize: number };

export type IssuerProfile = Shaped<"issuers">[number]["profile"];

export interface IssuerConfig {
  readonly issuer: string;
  readonly audience: readonly string[];
  readonly profile: IssuerProfile;
  readonly algorithms: readonly string[];
  readonly subjectClaim: string;
  readonly jwksUri: string | null;
  readonly clockToleranceSeconds: number;
  /** How old fetched keys may be before they are fetched again. */
  readonly keyMaxAgeSeconds: number;
  /** For how long after that they serve on while the issuer cannot be asked. */
  readonly keyStaleSeconds: number;
  /** Whether DPoP proofs have to carry a nonce of this gateway (RFC 9449 §8). */
  readonly dpopNonce: boolean;
}

/** What a token lets its bearer do. */
export type TokenScope = Shaped<"policy">["rules"][number]["scopes"][number];
/** What a caller may do at the gateway. */
export type Permission = Shaped<"policy">["rules"][number]["permissions"][number];
export type RuleConfig = Shaped<"policy">["rules"][number];
export type LimitsConfig = Readonly<Shaped<"limits">>;

/** Whose word is taken for the client's address and certificate. */
interface ProxiesConfig {
  /** Addresses and CIDR ranges; none: every caller is the client itself. */
  readonly addresses: readonly string[];
  /** Lower case. */
  readonly clientAddressHeader: string | null;
  readonly clientCertificateHeader: string | null;
}

export interface ServerConfig extends Omit<Readonly<Shaped<"server">>, "proxies" | "corsOrigins" | "publicUrl"> {
  /** Without a slash at the end; null: clients connect to the gateway itself. */
  readonly publicUrl: string | null;
  /** Exact texts, as in a browser's `Origin`. */
  readonly corsOrigins: readonly string[];
  readonly proxies: ProxiesConfig;
}

/** Where checkpoints of the audit trail go. An address may hold a key, as those of webhooks do. */
type CheckpointPlace =
  | { readonly kind: "stdout" }
  | { readonly kind: "file"; readonly file: string }
  | { readonly kind: "address"; readonly address: Secret };

interface AuditConfig extends Omit<Readonly<Shaped<"audit">>, "key" | "signingKey" | "earlierKeys" | "checkpoints"> {
  readonly key: Secret | null;
  /** Ed25519 in PKCS#8, as PEM or as DER in base64; null: made of the audit key. */
  readonly signingKey: Secret | null;
  /** Ed25519 in SPKI, as PEM or as DER in base64. */
  readonly earlierKeys: readonly string[];
  /** Null: nowhere. */
  readonly checkpoints: CheckpointPlace | null;
}

export interface TracingConfig {
  /** How many traces that came with a request, and begin at whoever sent it, are recorded, unless all are. */
  readonly callerTracesPerSecond: number;
  /** By the variables of OpenTelemetry; null: no traces are made. */
  readonly export: TraceExport | null;
}

export interface Config {
  readonly server: ServerConfig;
  readonly acs: AcsAccess & AcsSettings;
  readonly issuers: readonly IssuerConfig[];
  readonly auth: Readonly<Shaped<"auth">>;
  readonly policy: { readonly rules: readonly RuleConfig[] };
  readonly limits: LimitsConfig;
  readonly store: StoreConfig;
  /** Null: one instance keeps in memory what several would share. The address may hold a password. */
  readonly redis: { readonly url: Secret | null };
  /** Keys are 32 bytes in base64. The first encrypts, all decrypt; none: made at the first start (`keys.ts`). */
  readonly tokens: { readonly cacheKeys: readonly Secret[]; readonly cacheSize: number; readonly mintsAtOnce: number };
  readonly audit: AuditConfig;
  readonly graphql: Readonly<Shaped<"graphql">>;
  readonly log: Readonly<Shaped<"log">>;
  readonly tracing: TracingConfig;
  /** Null: requests leave directly. */
  readonly proxy: ProxyConfig | null;
}

/** What reading the database takes. */
export type ArchiveConfig = Pick<Config, "store" | "audit">;
