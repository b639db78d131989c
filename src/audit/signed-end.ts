/** How far a chain has got, in a line of JSON that is signed: so it can be kept where others may write, and still be held to. */
import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { describePublicKey } from "../config/signing-keys.js";
import type { ChainEnd } from "./chain.js";

/**
 * `checkpoint`: the chain had come so far. `dropped`: its records up to there were dropped for their age, and `at` is what all
 * of them were older than.
 */
export type Statement = "checkpoint" | "dropped";

export function signEnd(statement: Statement, { writer, sequence, hash, at }: ChainEnd, key: KeyObject): string {
  const end = { writer, sequence, hash, at };
  const signature = sign(null, signedBytes(statement, end), key).toString("base64url");
  return JSON.stringify({ statement, ...end, ...describePublicKey(createPublicKey(key)), signature });
}

/** What `readEnd` says of the half of a line that a crash or a full disk leaves. */
export const TORN = "is broken off";

/** The end of a line that one of these keys has signed, or what is wrong with it. */
export function readEnd(statement: Statement, line: string, keys: readonly KeyObject[]): ChainEnd | string {
  const value = parse(line);
  if (value === undefined) return TORN;
  const end = endIn(value);
  const { keyId, signature } = value;
  if (end === undefined || typeof signature !== "string") return "is none that the gateway signs";
  const key = keys.find((each) => describePublicKey(each).keyId === keyId);
  if (key === undefined) return "is signed with another key";
  const isSigned = verify(null, signedBytes(statement, end), key, Buffer.from(signature, "base64url"));
  return isSigned ? end : "has a signature that is not of its content";
}

/** Whether the line, of an export, says so of itself. */
export function claims(statement: Statement, line: string): boolean {
  return line.startsWith(`{"statement":"${statement}"`);
}

/**
 * Whether a line of a log is a statement: by a member of its own, wherever it stands, and not by a text in it that a client may have
 * written. Of a line that is broken off, as far as can be seen.
 */
export function isStated(statement: Statement, line: string): boolean {
  if (!line.includes('"statement"')) return false;
  const value = parse(line);
  return value === undefined ? line.includes('{"statement"') : value.statement === statement;
}

/** What the line says, whoever has written it, or what is wrong with it. */
export function readClaim(line: string): ChainEnd | string {
  const value = parse(line);
  return value === undefined ? TORN : (endIn(value) ?? "is none that the gateway signs");
}

function endIn({ writer, sequence, hash, at }: Record<string, unknown>): ChainEnd | undefined {
  if (typeof writer !== "string" || typeof hash !== "string") return undefined;
  if (typeof sequence !== "number" || typeof at !== "number") return undefined;
  return { writer, sequence, hash, at };
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

/** Fields in a fixed order, as a JSON list: one spelling, and none of one statement is one of the other. */
function signedBytes(statement: Statement, { writer, sequence, hash, at }: ChainEnd): Buffer {
  return Buffer.from(JSON.stringify([`acs-token-gateway/audit-${statement}/1`, writer, sequence, hash, at]));
}
