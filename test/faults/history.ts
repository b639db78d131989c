/** What callers did and saw, on one clock: ms since 1970, the clock that the service stamps its tokens by, too. */
export const clock = () => performance.timeOrigin + performance.now();

export type Action = "issue" | "revoke" | "suspend" | "reinstate" | "delete" | "provision";

/** What a token says about itself, and the answer that brought it. */
export interface SeenToken {
  readonly text: string;
  /** From `expiresOn`, which the service gives in ms, and the lifetime asked for. */
  readonly mintedAt: number;
  /** Whose it is, by the token's own claim. */
  readonly communicationUserId: string;
  /** How often the service had revoked the identity's tokens when it made this one. */
  readonly generation: number;
}

/**
 * - done: answered with success
 * - refused: answered with a user error, which `code` names
 * - failed: answered with an error of the gateway, which `code` names
 * - cut: the connection broke, or there was none; nobody knows what came of it
 * - unanswered: no answer within any time that the gateway may take
 */
export type Outcome = "done" | "refused" | "failed" | "cut" | "unanswered";

/** One request of one caller, from before it was sent until its answer was read. */
export interface Entry {
  readonly action: Action;
  /** Whom it is about, not who sent it. */
  readonly subject: string;
  readonly by: "user" | "admin";
  readonly instance: number;
  readonly start: number;
  readonly end: number;
  readonly outcome: Outcome;
  readonly status?: number;
  readonly code?: string;
  /** The gateway's id of the identity that the answer is about; for a suspension without answer, the one asked for. */
  readonly identityId?: string;
  readonly communicationUserId?: string | null;
  readonly token?: SeenToken;
  /** The service has confirmed, by the answer's own words. */
  readonly confirmed?: boolean;
  /** Tokens that the service still took when this answer said that they were revoked. */
  readonly stillTaken?: number;
}

/** When a process was not there: from the kill until it listened again, or frozen. */
export interface Downtime {
  readonly instance: number;
  readonly from: number;
  until: number;
}

export function show(entry: Entry, since: number): string {
  const at = (time: number) => (time - since).toFixed(1).padStart(8);
  const { token } = entry;
  const facts = [
    `${at(entry.start)} –${at(entry.end)} ms`,
    `#${entry.instance}`,
    entry.by,
    entry.action,
    entry.subject,
    entry.outcome,
    entry.status,
    entry.code,
    entry.identityId,
    entry.communicationUserId && `…${entry.communicationUserId.slice(-12)}`,
    token && `token minted at ${at(token.mintedAt).trim()}, generation ${token.generation}`,
    entry.confirmed && "confirmed",
  ];
  return facts.filter(Boolean).join(" ");
}
