/**
 * How a cached token is written down. In this process's memory it stays as it is; whatever leaves the process is sealed:
 *
 *     version (1 byte) | key id (8) | nonce (12) | AES-256-GCM ciphertext | tag (16)
 *
 * The additional data is the head (version and key id) and the context, which names identity, scopes and lifetime: an
 * entry moved to another key of the cache does not open. A new random nonce is drawn each time; 96 bits are good for some
 * 2^32 entries under one key, and the service's own limit of 1000 tokens in 30 s reaches that after 4 years.
 */
import { createCipheriv, createDecipheriv, createHmac, hash, randomBytes } from "node:crypto";
import type { Secret } from "../config/secret.js";

export interface Seal {
  /** Under which an entry of this context is kept. */
  keyOf(context: string): string;
  close(plain: Buffer, context: string): Buffer;
  /** Undefined for what this seal did not close under this context. Never throws. */
  open(sealed: Buffer, context: string): Buffer | undefined;
}

/** For memory: nobody else reads or writes there. */
export const noSeal: Seal = { keyOf: (context) => context, close: (plain) => plain, open: (plain) => plain };

const VERSION = 1;
const KEY_ID_LENGTH = 8;
const HEAD_LENGTH = 1 + KEY_ID_LENGTH;
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;

/** The first key (32 bytes, base64) closes, all open, so that a rotation loses nothing. */
export function createSeal(keys: readonly Secret[]): Seal {
  const known = keys.map((secret) => {
    const key = secret.bytes();
    return { key, head: headOf(key) };
  });
  const [first] = known;
  if (first === undefined) throw new Error("a seal needs a key");
  return {
    // Tells neither identity nor scopes: identity ids have 128 random bits, so none is guessed.
    keyOf: (context) => hash("sha256", context, "base64url"),
    close: (plain, context) => {
      const nonce = randomBytes(NONCE_LENGTH);
      const cipher = createCipheriv("aes-256-gcm", first.key, nonce).setAAD(additional(first.head, context));
      return Buffer.concat([first.head, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open: (sealed, context) => {
      const used = known.find(({ head }) => head.equals(sealed.subarray(0, HEAD_LENGTH)));
      if (used === undefined || sealed.length < HEAD_LENGTH + NONCE_LENGTH + TAG_LENGTH) return undefined;
      return decrypt(used.key, sealed.subarray(HEAD_LENGTH), additional(used.head, context));
    },
  };
}

function decrypt(key: Buffer, body: Buffer, additionalData: Buffer): Buffer | undefined {
  const nonce = body.subarray(0, NONCE_LENGTH);
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_LENGTH })
    .setAAD(additionalData)
    .setAuthTag(body.subarray(-TAG_LENGTH));
  try {
    return Buffer.concat([decipher.update(body.subarray(NONCE_LENGTH, -TAG_LENGTH)), decipher.final()]);
  } catch {
    // The tag does not fit: altered, or of another context.
    return undefined;
  }
}

function headOf(key: Buffer): Buffer {
  const id = createHmac("sha256", key).update("acs-token-gateway/cache-key-id/1").digest().subarray(0, KEY_ID_LENGTH);
  return Buffer.concat([Buffer.of(VERSION), id]);
}

/** The head has a fixed length, so the two cannot run into each other. */
function additional(head: Buffer, context: string): Buffer {
  return Buffer.concat([head, Buffer.from(context)]);
}
