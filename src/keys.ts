/**
 * The gateway's own keys: the configured ones, or, for one instance on SQLite that has none, a pair made at the first start
 * and kept in `keys.json` beside the database. Losing that file loses what the audit key stands for, so it is never
 * replaced: a file that cannot be used stops the start.
 */
import { createHmac, createPrivateKey, createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { isKey } from "./config/check.js";
import type { Config } from "./config/config.js";
import { Secret } from "./config/secret.js";
import { readPublicKey, readSigningKey } from "./config/signing-keys.js";
import { StartError } from "./errors.js";

/** Each is 32 bytes in base64. */
export interface Keys {
  /** The first encrypts, all decrypt. */
  readonly cacheKeys: readonly Secret[];
  readonly auditKey: Secret;
  /** Ed25519: signs checkpoints of the audit trail, and how far records were dropped. */
  readonly checkpointKey: KeyObject;
  /** Public ones, which did so before it. */
  readonly earlierCheckpointKeys: readonly KeyObject[];
}

interface KeyFile {
  readonly tokenCacheKey: string;
  readonly auditKey: string;
}

const CURE = "restore it from a back-up, or set both TOKEN_CACHE_KEY and AUDIT_KEY (openssl rand -base64 32)";

/** Sets the key that is made of the audit key apart from whatever else is. */
const CHECKPOINT_PURPOSE = "acs-token-gateway/audit-checkpoint-key/1";

/** What stands before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

type AuditKeysConfig = Pick<Config["audit"], "key" | "signingKey" | "earlierKeys">;

interface KeysConfig extends Pick<Config, "store"> {
  readonly tokens: Pick<Config["tokens"], "cacheKeys">;
  readonly audit: AuditKeysConfig;
}

/** Throws a `StartError` when keys are neither configured nor to be had from the file. */
export function openKeys({ store, tokens, audit }: KeysConfig): Keys {
  const { cacheKeys, auditKey } = openSecrets({ store, tokens, audit });
  return {
    cacheKeys,
    auditKey,
    checkpointKey: configuredCheckpointKey(audit) ?? deriveCheckpointKey(auditKey),
    earlierCheckpointKeys: earlierCheckpointKeys(audit),
  };
}

/** For who checks what was signed: makes no keys, for those have signed nothing. Throws a `StartError` when there is none. */
export function findPublicCheckpointKeys({ store, audit }: Omit<KeysConfig, "tokens">): KeyObject[] {
  const cure = "set AUDIT_KEY or AUDIT_SIGNING_KEY, or name a public key with --public-key";
  const key = configuredCheckpointKey(audit) ?? deriveCheckpointKey(audit.key ?? keptAuditKey(store, cure));
  return [createPublicKey(key), ...earlierCheckpointKeys(audit)];
}

/** For who looks a token up in the trail: makes no key, for no token stands in a trail by it. Throws a `StartError`. */
export function findAuditKey({
  store,
  audit,
}: Pick<Config, "store"> & { readonly audit: Pick<Config["audit"], "key"> }) {
  return audit.key ?? keptAuditKey(store, "set AUDIT_KEY");
}

/** Whence the two keys come, without making any. Throws a `StartError` for a file that cannot be used. */
export function findKeys({ store, tokens, audit }: KeysConfig): "configured" | "kept" | "yet to be made" {
  if (tokens.cacheKeys.length > 0 && audit.key !== null) return "configured";
  const file = fileOf(store);
  if (!existsSync(file)) return "yet to be made";
  readKeyFile(file, () => fail(file, "it has gone"));
  return "kept";
}

function earlierCheckpointKeys({ earlierKeys }: AuditKeysConfig): KeyObject[] {
  return earlierKeys.flatMap((key) => readPublicKey(key) ?? []);
}

function configuredCheckpointKey({ signingKey }: AuditKeysConfig): KeyObject | undefined {
  return signingKey === null ? undefined : readSigningKey(signingKey.reveal());
}

/** The same at every start and in every instance, without one more key for anybody to keep. */
function deriveCheckpointKey(auditKey: Secret): KeyObject {
  const seed = createHmac("sha256", auditKey.bytes()).update(CHECKPOINT_PURPOSE).digest();
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: "der", type: "pkcs8" });
}

function openSecrets({ store, tokens, audit }: KeysConfig): Pick<Keys, "cacheKeys" | "auditKey"> {
  if (tokens.cacheKeys.length > 0 && audit.key !== null) return { cacheKeys: tokens.cacheKeys, auditKey: audit.key };
  const kept = readKeyFile(fileOf(store), (file) => make(file) ?? readFileSync(file, "utf8"));
  return {
    cacheKeys: tokens.cacheKeys.length > 0 ? tokens.cacheKeys : [new Secret(kept.tokenCacheKey)],
    auditKey: audit.key ?? new Secret(kept.auditKey),
  };
}

function keptAuditKey(store: Config["store"], cure: string): Secret {
  if (store.kind !== "sqlite") throw new StartError(`No keys are kept beside a Postgres database: ${cure}.`);
  const { auditKey } = readKeyFile(fileOf(store), (file) => {
    throw new StartError(`There are no keys in ${file}: restore it from a back-up, or ${cure}.`);
  });
  return new Secret(auditKey);
}

function fileOf(store: Config["store"]): string {
  // The configuration is refused without keys where several instances share a database.
  if (store.kind !== "sqlite") throw new Error("a shared database came without shared keys");
  return join(dirname(store.file), "keys.json");
}

/** `orElse` gives the text of a file that is not there. */
function readKeyFile(file: string, orElse: (file: string) => string): KeyFile {
  try {
    const text = readIfThere(file) ?? orElse(file);
    return parse(text) ?? fail(file, "it does not hold the two keys");
  } catch (error) {
    if (error instanceof StartError) throw error;
    return fail(file, (error as NodeJS.ErrnoException).code ?? "unknown error");
  }
}

function fail(file: string, why: string): never {
  throw new StartError(`The keys in ${file} cannot be used (${why}): ${CURE}.`);
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Writes new keys, whole or not at all: a link, unlike a rename, never replaces a file that another start has made in the
 * meantime. Undefined when there was one.
 */
function make(file: string): string | undefined {
  const newKey = () => randomBytes(32).toString("base64");
  const text = `${JSON.stringify({ tokenCacheKey: newKey(), auditKey: newKey() } satisfies KeyFile, null, 2)}\n`;
  const folder = dirname(file);
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  mkdirSync(folder, { recursive: true });
  try {
    writeFileSync(draft, text, { mode: 0o600, flag: "wx", flush: true });
    linkSync(draft, file);
    syncFolder(folder);
    return text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Until then a crash of the machine may take the new name with it. */
function syncFolder(folder: string): void {
  const descriptor = openSync(folder, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Says nothing of what is wrong: the parser's message quotes the text. */
function parse(text: string): KeyFile | undefined {
  try {
    const { tokenCacheKey, auditKey } = JSON.parse(text) as Record<string, unknown>;
    const areKeys = [tokenCacheKey, auditKey].every((key) => typeof key === "string" && isKey(key));
    return areKeys ? { tokenCacheKey: String(tokenCacheKey), auditKey: String(auditKey) } : undefined;
  } catch {
    return undefined;
  }
}
