import { randomBytes } from "node:crypto";

/** `idn_` and 128 random bits in base64url: the prefix tells the type, so that `node(id:)` needs no table of its own. */
export function newIdentityId(): string {
  return `idn_${randomBytes(16).toString("base64url")}`;
}
