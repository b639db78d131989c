/**
 * Checkpoints: at intervals, and as the gateway stops, the end that each chain has reached is signed and written to a second
 * place, out of reach of whoever could change the database. A chain that was cut off, or made anew as a whole, no longer has
 * what was signed.
 */
import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import type { ChainEnd } from "./chain.js";
import { describePublicKey } from "./public-key.js";

export interface Checkpoint extends ChainEnd {
  /** When it was signed, ms since 1970. */
  readonly at: number;
}

/** Resolves once the line is where it is to be kept. */
export type CheckpointSink = (line: string) => Promise<void>;

interface CheckpointsParts {
  readonly key: KeyObject;
  readonly sink: CheckpointSink;
  readonly now: () => number;
  /** Undefined when it was written. */
  readonly observe: (error: unknown) => void;
}

export class Checkpoints {
  readonly #parts: CheckpointsParts;
  /** By writer: reached, and not signed yet. */
  readonly #reached = new Map<string, ChainEnd>();
  #writing = Promise.resolve();

  constructor(parts: CheckpointsParts) {
    this.#parts = parts;
  }

  /** So much is durable; the next `flush` signs it. */
  reached(end: ChainEnd): void {
    this.#reached.set(end.writer, end);
  }

  /** Signs what was reached since the last time. Never rejects. */
  async flush(): Promise<void> {
    const ends = [...this.#reached.values()];
    this.#reached.clear();
    await Promise.all(ends.map((end) => this.checkpoint(end)));
  }

  /** Signs this end, and resolves once it is written or has failed, which is observed; one after the other. Never rejects. */
  async checkpoint(end: ChainEnd): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(end));
    await this.#writing;
  }

  async #write(end: ChainEnd): Promise<void> {
    const { key, sink, now, observe } = this.#parts;
    try {
      await sink(signCheckpoint({ ...end, at: now() }, key));
      observe(undefined);
    } catch (error) {
      // The next one stands for everything before it, too; a newer end must not give way to this one.
      if (!this.#reached.has(end.writer)) this.#reached.set(end.writer, end);
      observe(error);
    }
  }
}

/** A line of JSON. */
export function signCheckpoint({ writer, sequence, hash, at }: Checkpoint, key: KeyObject): string {
  const checkpoint = { writer, sequence, hash, at };
  const signature = sign(null, signedBytes(checkpoint), key).toString("base64url");
  return JSON.stringify({ ...checkpoint, ...describePublicKey(createPublicKey(key)), signature });
}

/** What `readCheckpoint` says of the half of a line that a crash or a full disk leaves. */
export const TORN = "is broken off";

/** The checkpoint of a line that was signed with this key, or what is wrong with it. */
export function readCheckpoint(line: string, publicKey: KeyObject): Checkpoint | string {
  const value = parse(line);
  if (value === undefined) return TORN;
  const { writer, sequence, hash, at, keyId, signature } = value;
  if (typeof writer !== "string" || typeof hash !== "string" || typeof signature !== "string")
    return "is not a checkpoint";
  if (typeof sequence !== "number" || typeof at !== "number") return "is not a checkpoint";
  if (keyId !== describePublicKey(publicKey).keyId) return "is signed with another key";
  const checkpoint = { writer, sequence, hash, at };
  const isSigned = verify(null, signedBytes(checkpoint), publicKey, Buffer.from(signature, "base64url"));
  return isSigned ? checkpoint : "has a signature that is not of its content";
}

/** Undefined for what is not JSON: no beginning of an object is. */
function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return undefined;
  }
}

/** Fields in a fixed order, as a JSON list: one spelling. */
function signedBytes({ writer, sequence, hash, at }: Checkpoint): Buffer {
  return Buffer.from(JSON.stringify(["acs-token-gateway/audit-checkpoint/1", writer, sequence, hash, at]));
}
