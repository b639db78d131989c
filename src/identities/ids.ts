import { randomBytes } from "node:crypto";

/** Ids are a prefix that tells the type, and 128 random bits in base64url. */
const newId = (prefix: string) => `${prefix}_${randomBytes(16).toString("base64url")}`;

export const newIdentityId = () => newId("idn");
export const newAttemptId = () => newId("att");
export const newLeaseHolder = () => newId("lease");
