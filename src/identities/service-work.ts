/** REVOKE: every token issued so far. DELETE: the identity, with all that belongs to it. */
export type ServiceAction = "REVOKE" | "DELETE";

/** What has been promised and the service has yet to do, for one of its identities. Times are ms since 1970. */
export interface ServiceWork {
  readonly communicationUserId: string;
  readonly action: ServiceAction;
  /** Null for an identity that no row of ours points to. */
  readonly identityId: string | null;
  /** The host of the resource that owns it; null where that was not written down. */
  readonly resource: string | null;
  readonly generation: number;
  readonly createdAt: number;
  readonly nextTryAt: number;
  /** Tries that failed. */
  readonly tries: number;
  /** What the last try failed with; null before the first. */
  readonly lastError: string | null;
}
