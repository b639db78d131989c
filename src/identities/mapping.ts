/**
 * A mapping as it is moved from one database to another: whose identity of the service it is, and what has to be known of it so
 * that it means the same there. What comes from a file is checked here, once.
 */
import { MAX_SUBJECT_LENGTH } from "../auth/caller.js";
import { isCalendarDay } from "../calendar.js";
import { isStorable } from "../text.js";
import type { ApplicationUser, Identity } from "./identity.js";

/** Times are ms since 1970. */
export interface Mapping {
  readonly user: ApplicationUser;
  readonly communicationUserId: string;
  readonly status: "ACTIVE" | "SUSPENDED";
  /** Null: not said. */
  readonly createdAt: number | null;
  readonly lastTokenIssuedAt: number | null;
  readonly tokensValidAfter: number | null;
  /** The service has yet to revoke what was issued before. */
  readonly revocationPending: boolean;
}

/** The order in which they are written; the first three are all that a file must have. */
export const MAPPING_FIELDS = [
  "issuer",
  "subject",
  "communicationUserId",
  "status",
  "createdAt",
  "lastTokenIssuedAt",
  "tokensValidAfter",
  "revocationPending",
  "resource",
] as const;
export const REQUIRED_FIELDS: readonly MappingField[] = ["issuer", "subject", "communicationUserId"];
export type MappingField = (typeof MAPPING_FIELDS)[number];

/** As texts; what is null or left out is not said. */
export type MappingFields = Readonly<Partial<Record<MappingField, string | null>>>;

/** Why a mapping is not taken, and what would have it taken. */
export class MappingRefused extends Error {
  override readonly name = "MappingRefused";

  constructor(
    readonly code: string,
    message: string,
    readonly cure: string,
  ) {
    super(message);
  }
}

export interface MappingRules {
  /** Whose users may be brought in. */
  readonly issuers: readonly string[];
  /** The host of the resource that the gateway is connected to. */
  readonly resource: string;
  /** Its immutable id, a GUID in lower case, with which its ids begin. */
  readonly resourceId: string;
}

/** Whole: of a file that is cut off, half an id would be taken for another identity. */
const ID =
  /^8:(?:(?:gcch|dod)-)?acs:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The immutable id of the resource that has made this identity; undefined when the text is no such id. */
export function resourceIdOf(communicationUserId: string): string | undefined {
  return ID.exec(communicationUserId)?.[1];
}

/** Throws a `MappingRefused` for what could not be used here. */
export function readMapping(fields: MappingFields, rules: MappingRules): Mapping {
  checkResource(fields.resource ?? null, rules);
  const status = readStatus(fields.status ?? null);
  return {
    user: readUser(fields, rules),
    communicationUserId: readId(required(fields, "communicationUserId"), rules),
    status,
    createdAt: readTime(fields, "createdAt"),
    lastTokenIssuedAt: readTime(fields, "lastTokenIssuedAt"),
    tokensValidAfter: readTime(fields, "tokensValidAfter"),
    // Whoever is suspended here has no token that works, wherever it is from.
    revocationPending: readFlag(fields.revocationPending ?? null) ?? status === "SUSPENDED",
  };
}

/** Of an identity that the service has made. */
export function writeMapping(identity: Identity): Readonly<Record<MappingField, string | null>> {
  const { user, communicationUserId, status, createdAt, revocationPending, resource } = identity;
  return {
    issuer: user?.issuer ?? null,
    subject: user?.subject ?? null,
    communicationUserId,
    status,
    createdAt: new Date(createdAt).toISOString(),
    lastTokenIssuedAt: writeTime(identity.lastTokenIssuedAt),
    tokensValidAfter: writeTime(identity.tokensValidAfter),
    revocationPending: String(revocationPending),
    resource,
  };
}

function writeTime(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

function required(fields: MappingFields, name: MappingField): string {
  const value = fields[name] ?? "";
  if (value !== "") return value;
  throw new MappingRefused("VALUE_MISSING", `there is no ${name}`, `give each row an ${REQUIRED_FIELDS.join(", a ")}`);
}

function readUser(fields: MappingFields, { issuers }: MappingRules): ApplicationUser {
  const issuer = required(fields, "issuer");
  const subject = required(fields, "subject");
  if (!issuers.includes(issuer)) {
    const cure = "write it exactly as in the configuration, add it there, or allow it with --allow-issuer";
    throw new MappingRefused("ISSUER_UNKNOWN", "the issuer is not one that this gateway accepts", cure);
  }
  if (subject.length <= MAX_SUBJECT_LENGTH && isStorable(subject)) return { issuer, subject };
  const message = `the subject is not a text of 1 to ${MAX_SUBJECT_LENGTH} characters without NUL and lone surrogates`;
  throw new MappingRefused(
    "SUBJECT_INVALID",
    message,
    "give the value of the issuer's subject claim, as tokens have it",
  );
}

function readId(text: string, { resource, resourceId }: MappingRules): string {
  const owner = resourceIdOf(text);
  if (owner === undefined) {
    const cure = "give the raw id of a Communication Services user, in lower case: 8:acs:<resource guid>_<user guid>";
    throw new MappingRefused("ID_INVALID", "the communicationUserId is not one of Communication Services", cure);
  }
  if (owner === resourceId) return text;
  const cure = `leave it out, or connect a gateway to the resource that made it; if ${resource} did, say --resource-id ${owner}`;
  throw new MappingRefused("ID_OF_ANOTHER_RESOURCE", `the id is of the resource ${owner}, not ${resourceId}`, cure);
}

function checkResource(host: string | null, { resource }: MappingRules): void {
  if (host === null || host === "" || host === resource) return;
  const cure =
    "connect to the resource that it was exported from; if that is the same one by another name, leave out the column";
  throw new MappingRefused("ID_OF_ANOTHER_RESOURCE", `the row is of another resource than ${resource}`, cure);
}

function readStatus(text: string | null): Mapping["status"] {
  if (text === null || text === "" || text === "ACTIVE") return "ACTIVE";
  if (text === "SUSPENDED") return text;
  throw new MappingRefused(
    "STATUS_INVALID",
    "the status is not known",
    "write ACTIVE or SUSPENDED, or nothing for ACTIVE",
  );
}

/** RFC 3339 §5.6 */
const INSTANT = /^(\d{4}-\d{2}-\d{2})T\d{2}:\d{2}:\d{2}(\.\d{1,3})?(Z|[+-]\d{2}:\d{2})$/i;

function readTime(fields: MappingFields, name: MappingField): number | null {
  const text = fields[name] ?? "";
  if (text === "") return null;
  const date = INSTANT.exec(text)?.[1];
  const at = date !== undefined && isCalendarDay(date) ? Date.parse(text.toUpperCase()) : Number.NaN;
  if (at >= 0) return at;
  throw new MappingRefused(
    "TIME_INVALID",
    `${name} is not an instant`,
    "write one such as 2026-01-31T00:00:00Z, or nothing",
  );
}

/** Undefined: not said. */
function readFlag(text: string | null): boolean | undefined {
  if (text === null || text === "") return undefined;
  if (text === "false") return false;
  if (text === "true") return true;
  throw new MappingRefused("FLAG_INVALID", "revocationPending is not a yes or no", "write true or false, or nothing");
}
