/**
 * How services record: bound to a call, which knows who asks, by which request and through which app. A service says what it
 * is about to do (`intent`), what came of it (`outcome`), or leaves both to `change` and refusals to `orRefused`. A token
 * becomes `Recorded` by its record alone, and services hand out nothing else.
 */
import type { TokenScope } from "../config/config.js";
import { Deadline } from "../deadline.js";
import { GatewayError, Refusal } from "../errors.js";
import type { ApplicationUser, Identity } from "../identities/identity.js";
import type { Call } from "../policy/call.js";
import type { Fingerprint } from "./fingerprint.js";
import { Owed } from "./owed.js";
import type { AuditAction, AuditEvent, AuditPhase, Premise } from "./record.js";
import type { FoundRow, RecordOptions, Trail } from "./trail.js";

/** What an event is about; left out: null. */
export interface About {
  readonly identityId?: string | null;
  readonly scopes?: readonly TokenScope[] | null;
  readonly reason?: string | null;
}

interface TokenLike {
  /** A secret. */
  readonly token: string;
  /** ms since 1970 */
  readonly expiresOn: number;
}

declare const recorded: unique symbol;

/** A token of which the trail has a record. */
export type Recorded<Token> = Token & { readonly [recorded]: true };

/** Ms: how old a look may be that was made with a record or behind it, as sinks, disk and caches take their time before a token leaves. */
const LOOK_MS = 100;

/** Where the trail is away when something has been done, that is told again for so long. */
export const TOLD_AGAIN_MS = 60_000;

/** A token of which the trail has a record, and the look to be awaited before it is handed out. */
export interface TokenAndLook<Token> {
  readonly token: Recorded<Token>;
  /** The row, as it was seen with the record or behind it, or anew where that is too long ago by now. */
  readonly lastLook: () => Promise<Identity>;
}

/** A token that is to be recorded, and how to look at the row of its identity, which may have changed meanwhile. */
interface AboutToken<Token> {
  readonly about: About;
  readonly token: Token;
  readonly look: () => Promise<Identity>;
}

interface AuditLogParts {
  readonly trail: Pick<Trail, "record">;
  readonly fingerprint: Fingerprint;
  /** Takes out of a text what looks like a secret. */
  readonly redact: (text: string) => string;
  /** How long a record is waited for that no call's deadline is for. */
  readonly timeoutMs: number;
  /** The trail's: ms by a clock that is never set. */
  readonly elapsed: () => number;
  /** Told of what is recorded. */
  readonly observe?: (event: AuditEvent) => void;
}

/** By whose order, in which request and through which app. */
interface Asked extends Pick<Call, "requestId" | "client"> {
  readonly caller: ApplicationUser | null;
}

/** A token that is kept is one object, and its fingerprint is made once. */
type CallAuditParts = AuditLogParts & { readonly fingerprintOf: (token: TokenLike) => string; readonly owed: Owed };

export class AuditLog {
  readonly #parts: CallAuditParts;

  constructor(parts: AuditLogParts) {
    const { fingerprint } = parts;
    const known = new WeakMap<TokenLike, string>();
    const fingerprintOf = (token: TokenLike) => {
      const made = known.get(token) ?? fingerprint(token.token);
      known.set(token, made);
      return made;
    };
    this.#parts = { ...parts, fingerprintOf, owed: new Owed() };
  }

  /** What waits to be told again is told to the trail, which is to be open for so long. */
  async close(milliseconds: number): Promise<void> {
    await this.#parts.owed.close(milliseconds);
  }

  /** For what is done in the call's own time. */
  of(call: Call): CallAudit {
    return new CallAudit(this.#parts, call, () => call.deadline);
  }

  /** For what an operator's command does, by no user's order. */
  ofCommand(command: Omit<Asked, "caller">): CallAudit {
    return new CallAudit(this.#parts, { ...command, caller: null }, () => new Deadline(this.#parts.timeoutMs));
  }

  /** For what the call began and others may wait for, too: its deadline does not end it. */
  beyond(call: Call): CallAudit {
    return new CallAudit(this.#parts, call, () => new Deadline(this.#parts.timeoutMs));
  }
}

/** Each method resolves once the record is durable, and throws AUDIT_UNAVAILABLE when it is not. */
export class CallAudit {
  constructor(
    private readonly parts: CallAuditParts,
    private readonly asked: Asked,
    private readonly deadline: () => Deadline,
  ) {}

  async intent(action: AuditAction, about: About): Promise<void> {
    await this.#record("INTENT", action, about);
  }

  async outcome(action: AuditAction, about: About): Promise<void> {
    await this.#record("OUTCOME", action, about);
  }

  /**
   * The outcome of what stays done whether it is recorded or not: when the trail is away, whoever asked is told that, and the trail again
   * once it is back. Unless it is no longer so by then: it would stand behind what has undone it.
   */
  async done(action: AuditAction, about: About, isStillSo: () => Promise<boolean> = async () => true): Promise<void> {
    const { elapsed, owed } = this.parts;
    const until = elapsed() + TOLD_AGAIN_MS;
    const lost = () => {
      if (elapsed() < until) owed.later(again);
    };
    const again = async () => {
      if (!(await isStillSo().catch(lost))) return;
      const later = new CallAudit(this.parts, this.asked, () => new Deadline(TOLD_AGAIN_MS));
      // Whoever asked has been told; `lost` goes on.
      await later.#record("OUTCOME", action, about, undefined, { lost }).catch(() => {});
    };
    await this.#record("OUTCOME", action, about, undefined, { lost });
  }

  /** Intent, work, outcome. Work that answers undefined has changed nothing, and has no outcome. `isStillSo`: see `done`. */
  async change<Result>(
    action: AuditAction,
    about: About,
    work: () => Promise<Result | undefined>,
    isStillSo?: () => Promise<boolean>,
  ): Promise<Result | undefined> {
    await this.intent(action, about);
    const result = await work();
    if (result !== undefined) await this.done(action, about, isStillSo);
    return result;
  }

  /** The token, as one that may be handed out. */
  async token<Token extends TokenLike>(
    action: "TOKEN_ISSUED" | "TEAMS_TOKEN_EXCHANGED",
    about: About,
    token: Token,
  ): Promise<Recorded<Token>> {
    await this.#record("OUTCOME", action, about, token);
    return token as Recorded<Token>;
  }

  /** The same with a look at what may have changed, which begins with the record there, and has mostly ended when that is durable. */
  async tokenAndLook<Token extends TokenLike>(
    action: "TOKEN_ISSUED" | "TOKEN_REUSED",
    { about, token, look }: AboutToken<Token>,
  ): Promise<TokenAndLook<Token>> {
    let seen: Promise<Identity> | undefined;
    let at = Number.NEGATIVE_INFINITY;
    const see = () => {
      at = this.parts.elapsed();
      seen = look();
      // Nobody asks for it when there is no record.
      seen.catch(() => {});
      return seen;
    };
    await this.#record("OUTCOME", action, about, token, { behind: see });
    const lastLook = () => (seen !== undefined && this.#isLast(at) ? seen : see());
    return { token: token as Recorded<Token>, lastLook };
  }

  /**
   * The same on a premise, whose row is looked at with the record, and by `look` where that was too long ago. Undefined, with nothing
   * recorded, when it may not hold.
   */
  async tokenAndLookIf<Token extends TokenLike>(
    premise: Premise,
    action: "TOKEN_REUSED",
    { about, token, look }: AboutToken<Token>,
  ): Promise<TokenAndLook<Token> | undefined> {
    let row: FoundRow | undefined;
    const found = (by: FoundRow) => {
      row = by;
    };
    if (!(await this.#record("OUTCOME", action, about, token, { premise, found }))) return undefined;
    const lastLook = async () => (row !== undefined && this.#isLast(row.askedAt) ? row.identity : await look());
    return { token: token as Recorded<Token>, lastLook };
  }

  /** Of a look that was begun then: whether it can be the last one. */
  #isLast(at: number): boolean {
    return this.parts.elapsed() - at <= LOOK_MS;
  }

  /** What the work answers. When it refuses a token, that is recorded before the caller is told. */
  async orRefused<Result>(about: About, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      const reason = refusalIn(error);
      if (reason !== undefined) await this.outcome("TOKEN_REFUSED", { ...about, reason });
      throw error;
    }
  }

  async #record(
    phase: AuditPhase,
    action: AuditAction,
    { identityId = null, scopes = null, reason = null }: About,
    token?: TokenLike,
    options?: RecordOptions,
  ): Promise<boolean> {
    const { caller, requestId, client } = this.asked;
    // These are the client's own words.
    const { redact } = this.parts;
    const redacted = (text: string | null) => text && redact(text);
    const event = {
      action,
      phase,
      identityId,
      actor: caller && { issuer: caller.issuer, subject: caller.subject },
      scopes,
      tokenFingerprint: token === undefined ? null : this.parts.fingerprintOf(token),
      tokenExpiresOn: token?.expiresOn ?? null,
      reason: redacted(reason),
      requestId: redact(requestId),
      clientName: redacted(client.name),
      clientVersion: redacted(client.version),
    };
    const isWritten = await this.parts.trail.record(event, this.deadline(), options);
    if (isWritten) this.parts.observe?.(event);
    return isWritten;
  }
}

/** The code of a "no"; undefined for what failed otherwise. */
function refusalIn(error: unknown): string | undefined {
  if (error instanceof Refusal) return error.code;
  const isNo = error instanceof GatewayError && (error.code === "FORBIDDEN" || error.code === "RATE_LIMITED");
  return isNo ? error.code : undefined;
}
