/** A record as a line of JSON: everything that is stored, and the hash of the record before it. */
import type { StoredRecord } from "./query.js";
import { recordId } from "./record.js";

export interface ExportedRecord extends StoredRecord {
  /** `GENESIS` for the first of a writer. */
  readonly previousHash: string;
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string";
const isNumber: Check = (value) => typeof value === "number";
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const isUser: Check = (value) => isObject(value) && isText(value.issuer) && isText(value.subject);
const isSeal: Check = (value) => isObject(value) && orNull(isText)(value.salt) && isText(value.commitment);
const areTexts: Check = (value) => Array.isArray(value) && value.every(isText);

/** In the order of the line. */
const FIELDS: Readonly<Record<keyof ExportedRecord, Check>> = {
  id: isText,
  previousHash: isText,
  writer: isText,
  sequence: isNumber,
  at: isNumber,
  action: isText,
  phase: isText,
  identityId: orNull(isText),
  actor: orNull(isUser),
  actorSeal: isSeal,
  scopes: orNull(areTexts),
  tokenFingerprint: orNull(isText),
  tokenExpiresOn: orNull(isNumber),
  reason: orNull(isText),
  reasonSeal: isSeal,
  requestId: isText,
  clientName: orNull(isText),
  clientVersion: orNull(isText),
  hash: isText,
};

export function writeLine(record: ExportedRecord): string {
  const { actor, actorSeal, reasonSeal, ...rest } = record;
  const whole: ExportedRecord = {
    ...rest,
    actor: actor && { issuer: actor.issuer, subject: actor.subject },
    actorSeal: { salt: actorSeal.salt, commitment: actorSeal.commitment },
    reasonSeal: { salt: reasonSeal.salt, commitment: reasonSeal.commitment },
  };
  const fields = Object.keys(FIELDS).map((name) => [name, whole[name as keyof ExportedRecord]]);
  return JSON.stringify(Object.fromEntries(fields)).replaceAll(/[\u2028\u2029]/g, escaped);
}

/** JSON lets these stand as they are, and many readers of lines end a line there. */
function escaped(separator: string): string {
  return `\\u${separator.charCodeAt(0).toString(16)}`;
}

/** Undefined for anything but a line as `writeLine` writes it, to the letter: so nothing can be added or left out. */
export function readLine(line: string): ExportedRecord | undefined {
  const value = parse(line);
  if (!isObject(value)) return undefined;
  if (!Object.entries(FIELDS).every(([name, check]) => check(value[name]))) return undefined;
  const record = value as unknown as ExportedRecord;
  return record.id === recordId(record) && writeLine(record) === line ? record : undefined;
}

/** What a record is not that was cut off. */
export function isJson(line: string): boolean {
  return parse(line) !== undefined;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
