import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Secret } from "../src/config/secret.js";
import { describePublicKey } from "../src/config/signing-keys.js";
import { StartError } from "../src/errors.js";
import { findPublicCheckpointKeys, type Keys, openKeys } from "../src/keys.js";

const KEY = Buffer.alloc(32, 7).toString("base64");
const OTHER_KEY = Buffer.alloc(32, 8).toString("base64");

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gateway-keys-"));
  file = join(folder, "keys.json");
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Configured {
  readonly cacheKeys?: readonly string[];
  readonly auditKey?: string;
  readonly signingKey?: string;
  readonly earlierKeys?: readonly string[];
  readonly folder?: string;
}

const open = (configured: Configured = {}): Keys => openKeys(configOf(configured));

function configOf({ cacheKeys = [], auditKey, signingKey, earlierKeys = [], folder: home = folder }: Configured) {
  return {
    store: { kind: "sqlite" as const, file: join(home, "gateway.db") },
    tokens: { cacheKeys: cacheKeys.map((key) => new Secret(key)) },
    audit: {
      key: auditKey === undefined ? null : new Secret(auditKey),
      signingKey: signingKey === undefined ? null : new Secret(signingKey),
      earlierKeys,
    },
  };
}

const reveal = ({ cacheKeys, auditKey }: Keys) => [...cacheKeys, auditKey].map((key) => key.reveal());

describe("the keys of one instance that has none configured", () => {
  it("are made beside the database, for the owner's eyes only, and leave nothing else behind", () => {
    const keys = reveal(open());
    expect(keys.map((key) => Buffer.from(key, "base64").length)).toEqual([32, 32]);
    expect(new Set(keys).size).toBe(2);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(["keys.json"]);
  });

  it("are the same at later starts, also when others may read the file by now", () => {
    const first = reveal(open());
    chmodSync(file, 0o644);
    expect(reveal(open())).toEqual(first);
  });

  it("are made in a folder that is not there yet", () => {
    const home = join(folder, "data", "deep");
    expect(reveal(open({ folder: home }))).toEqual(reveal(open({ folder: home })));
  });

  it.each([
    ["nothing", ""],
    ["half of it", JSON.stringify({ tokenCacheKey: KEY, auditKey: OTHER_KEY }).slice(0, -5)],
    ["one key", JSON.stringify({ tokenCacheKey: KEY })],
    ["a short key", JSON.stringify({ tokenCacheKey: KEY, auditKey: KEY.slice(4) })],
    ["something else", "null"],
  ])("stop the start in one line with the cure, and are not replaced, when the file holds %s", (_, text) => {
    writeFileSync(file, text);
    const start = () => open();
    expect(start).toThrow(StartError);
    expect(start).toThrow(
      `The keys in ${file} cannot be used (it does not hold the two keys): restore it from a back-up, or set both TOKEN_CACHE_KEY and AUDIT_KEY (openssl rand -base64 32).`,
    );
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  it("stop the start in one line when the file cannot be read or made", () => {
    mkdirSync(file);
    expect(() => open()).toThrow(`The keys in ${file} cannot be used (EISDIR): `);
    writeFileSync(join(folder, "plain"), "");
    const home = join(folder, "plain");
    expect(() => open({ folder: home })).toThrow(/^The keys in \S+ cannot be used \(ENOTDIR\): /);
  });
});

describe("configured keys", () => {
  it("are used as they are, and no file is made when both are there", () => {
    expect(reveal(open({ cacheKeys: [KEY, OTHER_KEY], auditKey: OTHER_KEY }))).toEqual([KEY, OTHER_KEY, OTHER_KEY]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("go before those in the file", () => {
    const [cacheKey, auditKey] = reveal(open());
    expect(reveal(open({ cacheKeys: [KEY] }))).toEqual([KEY, auditKey]);
    expect(reveal(open({ auditKey: KEY }))).toEqual([cacheKey, KEY]);
  });
});

describe("the key that signs checkpoints", () => {
  const idOf = (keys: Keys) => describePublicKey(createPublicKey(keys.checkpointKey)).keyId;

  it("is made of the audit key, so an older file has it too, and is the same at every start", () => {
    expect(idOf(open({ cacheKeys: [KEY], auditKey: KEY }))).toBe(idOf(open({ cacheKeys: [OTHER_KEY], auditKey: KEY })));
    expect(idOf(open({ cacheKeys: [KEY], auditKey: OTHER_KEY }))).not.toBe(
      idOf(open({ cacheKeys: [KEY], auditKey: KEY })),
    );
    expect(idOf(open())).toBe(idOf(open()));
  });

  it("is found again, in public, by who checks what was signed, and is not made for that", () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    const signingKey = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
    const find = (configured: Configured) => findPublicCheckpointKeys(configOf(configured));
    expect(() => find({})).toThrow(`There are no keys in ${file}: `);
    expect(readdirSync(folder)).toEqual([]);
    open();
    for (const configured of [{}, { auditKey: KEY }, { signingKey }]) {
      expect(find(configured).map((key) => describePublicKey(key).keyId)).toEqual([idOf(open(configured))]);
    }
  });

  it("is the configured one where there is one", () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const signingKey = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
    expect(idOf(open({ signingKey }))).toBe(describePublicKey(publicKey).keyId);
  });

  it("is followed by those that signed before it, in either spelling", () => {
    const keys = [1, 2].map(() => generateKeyPairSync("ed25519").publicKey);
    const [first, second] = keys.map(describePublicKey);
    const pem = keys[1]?.export({ format: "pem", type: "spki" }).toString() ?? "";
    const configured = { auditKey: KEY, cacheKeys: [KEY], earlierKeys: [first?.publicKey ?? "", pem] };
    const ids = (found: readonly KeyObject[]) => found.map((key) => describePublicKey(key).keyId);
    expect(ids(open(configured).earlierCheckpointKeys)).toEqual([first?.keyId, second?.keyId]);
    expect(ids(findPublicCheckpointKeys(configOf(configured)))).toEqual([
      idOf(open(configured)),
      first?.keyId,
      second?.keyId,
    ]);
  });
});
