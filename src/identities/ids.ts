import { randomBytes } from "node:crypto";

/** Ids are a prefix that tells the type, and 128 random bits in base64url. */
const newId = (prefix: string) => `${prefix}_${randomBytes(16).toString("base64url")}`;

export const newIdentityId = () => newId("idn");
const IDENTITY_ID = /^idn_[\w-]{22}$/;

/** The text when it has the form of an identity's id, null for anything else. */
export function asIdentityId(text: string | null): string | null {
  return text !== null && IDENTITY_ID.test(text) ? text : null;
}

export const newAttemptId = () => newId("att");
export const newLeaseHolder = () => newId("lease");
