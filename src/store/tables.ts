import type { IdentityStatus } from "../identities/identity.js";

/** Times are integers, ms since 1970; flags are 0 or 1; so a row reads the same in every dialect. */
export interface Tables {
  readonly identities: IdentityRow;
}

export interface IdentityRow {
  readonly id: string;
  readonly issuer: string | null;
  readonly subject: string | null;
  readonly communication_user_id: string | null;
  readonly status: IdentityStatus;
  readonly created_at: number;
  /** 0: never, so that it can be ordered and indexed like any other time */
  readonly last_token_issued_at: number;
  /** 0: never */
  readonly tokens_valid_after: number;
  readonly revocation_pending: 0 | 1;
  readonly revocations: number;
}
