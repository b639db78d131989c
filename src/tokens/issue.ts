/**
 * The main job: a communication token for the caller, or on behalf of another identity.
 *
 * authorise → find the identity → from the cache, or: limit → mint → record → answer, and keep. A first-time user gets identity
 * and token in one service call, a known one costs one issue call or none. A token counts as issued only once the
 * identity's row and the audit trail have taken note of it, and the row is looked at once more before the token leaves, with the
 * record there: if tokens were revoked while this one was under way, it is dropped. For who comes again the row need not be looked at
 * before, where the trail takes a record on the premise that it is what is remembered.
 */
import {
  type CommunicationService,
  IdentityNotOwned,
  ServiceFailure,
  type ServiceToken,
  type TokenRequest,
} from "../acs/service.js";
import type { AuditLog, CallAudit, Recorded, TokenAndLook } from "../audit/log.js";
import type { TokenScope } from "../config/config.js";
import { Refusal } from "../errors.js";
import type { Identity } from "../identities/identity.js";
import { asIdentityId, newAttemptId } from "../identities/ids.js";
import type { Provisioning } from "../identities/provisioning.js";
import { deletingRefusal } from "../identities/revocation.js";
import { findTarget } from "../identities/target.js";
import { waitFor } from "../identities/waiting.js";
import type { Limits } from "../limits/limits.js";
import type { Events } from "../observe/events.js";
import type { Call } from "../policy/call.js";
import { requirePermission } from "../policy/policy.js";
import type { IdentityStore } from "../store/identity-store.js";
import type { WorkStore } from "../store/work-store.js";
import type { TokenCache, TokenLookup } from "./cache.js";
import { countedMint, isUnrecorded, mintCounted } from "./counted-mint.js";
import { distinct, grantToken } from "./grant.js";
import { refreshAfter, requireUsefulLife } from "./lifetime.js";
import type { RowMemory } from "./row-memory.js";
import { urgencyOf } from "./urgency.js";

export interface IssueInput {
  readonly scopes: readonly TokenScope[];
  /** Null: the most that the policy allows. */
  readonly lifetimeMinutes: number | null;
  /** Null: the caller's own. */
  readonly identityId: string | null;
  /** Skip the token cache. */
  readonly forceNew: boolean;
}

/** Times are ms since 1970. */
export interface IssuedToken {
  readonly token: string;
  readonly expiresOn: number;
  readonly refreshAfter: number;
  readonly scopes: readonly TokenScope[];
  readonly identity: Identity;
}

interface IssuanceParts {
  readonly identities: IdentityStore;
  readonly service: CommunicationService;
  readonly provisioning: Provisioning;
  readonly work: WorkStore;
  readonly limits: Limits;
  readonly cache: TokenCache;
  /** Where the trail takes records on a premise. */
  readonly rows?: RowMemory | undefined;
  readonly audit: AuditLog;
  readonly events: Events;
  readonly now: () => number;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** What to do when the service no longer knows an identity as ours: give its user a new one, or refuse. */
  readonly onLostIdentity: "provision" | "refuse";
}

interface Issued {
  readonly identity: Identity;
  readonly token: Recorded<ServiceToken>;
}

/** A token that has its record, and may leave once the identity was looked at. */
type Noted = TokenAndLook<ServiceToken>;

/** What is to be issued, authorised. */
interface AuthorizedRequest {
  readonly call: Call;
  readonly request: TokenRequest;
  readonly forceNew: boolean;
  /** Whether it was named for which identity, and so is for no other. */
  readonly isNamed: boolean;
}

/** What a refusal is recorded about. */
interface RefusedAbout {
  identityId: string | null;
  readonly scopes: readonly TokenScope[];
}

export class TokenIssuance {
  readonly #parts: IssuanceParts;

  constructor(parts: IssuanceParts) {
    this.#parts = parts;
  }

  async issue(call: Call, input: IssueInput): Promise<IssuedToken> {
    const audit = this.#parts.audit.of(call);
    // What a refusal is recorded about: what was asked for, until it is found.
    const about = { identityId: asIdentityId(input.identityId), scopes: distinct(input.scopes) };
    return await audit.orRefused(about, async () => {
      const { rows } = this.#parts;
      const again = rows && (await this.#reuse(rows, call, input, about));
      if (again !== undefined) return again;
      const known = await this.#findIdentity(call, input.identityId);
      about.identityId = known?.id ?? null;
      return await this.#issueTo(known, call, input);
    });
  }

  async #issueTo(known: Identity | undefined, call: Call, input: IssueInput): Promise<IssuedToken> {
    const request = grantToken(call.entitlements, input);
    const authorized = { call, request, forceNew: input.forceNew, isNamed: input.identityId !== null };
    const issued = await this.#tokenFor(authorized, known);
    // Nobody else's: who issues for all would have it full of rows that are never looked for.
    if (input.identityId === null) this.#parts.rows?.keep(issued.identity, request);
    return this.#issued(authorized, issued);
  }

  /**
   * Without a look at the row before the record, for who comes again: the record is written only if the row is still what is
   * remembered of it. Undefined when that is not so or cannot be tried: the row tells then.
   */
  async #reuse(rows: RowMemory, call: Call, input: IssueInput, about: RefusedAbout): Promise<IssuedToken | undefined> {
    const { cache, audit } = this.#parts;
    if (input.identityId !== null || input.forceNew) return undefined;
    requirePermission(call.entitlements, "TOKEN_ISSUE");
    const request = grantIfAllowed(call, input);
    const identity = request && rows.find(call.caller, request);
    if (request === undefined || identity === undefined) return undefined;
    const token = await cache.get(lookupOf(identity, request), identity.revocations);
    if (token === undefined) return undefined;
    const { id, communicationUserId, revocations } = identity;
    const look = () => this.#confirmGood(identity, "findBehindRecord");
    const noted = await audit
      .of(call)
      .tokenAndLookIf({ identityId: id, communicationUserId, revocations }, "TOKEN_REUSED", {
        about: { identityId: id, scopes: request.scopes },
        token,
        look,
      })
      .catch(async (error: unknown) => {
        // Where the whole database is away, that is what is to be told, as it is to who does not come again.
        if (isUnrecorded(error)) await this.#parts.identities.findByUser(call.caller);
        throw error;
      });
    if (noted === undefined) {
      rows.forget(call.caller);
      return undefined;
    }
    about.identityId = id;
    const current = await noted.lastLook().catch((error: unknown) => {
      rows.forget(call.caller);
      throw error;
    });
    return this.#issued({ call, request }, { identity: current, token: noted.token });
  }

  #issued({ call, request }: Pick<AuthorizedRequest, "call" | "request">, { identity, token }: Issued): IssuedToken {
    const { now, random, events } = this.#parts;
    events.tokenIssued(call.requestId, identity);
    return { ...token, refreshAfter: refreshAfter(now(), token.expiresOn, random()), scopes: request.scopes, identity };
  }

  /** Undefined for a caller who has no identity yet. */
  async #findIdentity(call: Call, identityId: string | null): Promise<Identity | undefined> {
    const { identities } = this.#parts;
    if (identityId !== null) {
      return await findTarget(identities, call, identityId, { own: "TOKEN_ISSUE", any: "TOKEN_ISSUE_ANY" });
    }
    requirePermission(call.entitlements, "TOKEN_ISSUE");
    return await identities.findByUser(call.caller);
  }

  async #tokenFor(authorized: AuthorizedRequest, known: Identity | undefined): Promise<Issued> {
    if (known !== undefined && known.status !== "PROVISIONING") return await this.#issueFor(authorized, known);
    const { call, request, isNamed } = authorized;
    const user = known?.user ?? call.caller;
    const first = { request, ...countedMint(this.#parts.limits, call, user) };
    const wanted = { first, id: isNamed ? known?.id : undefined };
    const { identity, token } = await this.#parts.provisioning.ensure(user, call, wanted);
    if (token !== undefined) {
      requireUsefulLife(token, this.#parts.now());
      // Not waited for: it would only keep the token from leaving.
      void this.#parts.cache.put(lookupOf(identity, request), identity.revocations, token);
      return { identity: await this.#confirmGood(identity), token };
    }
    // It was deleted while it was being made; the next call makes another.
    if (identity.status === "DELETED" && !isNamed) throw deletingRefusal();
    return await this.#issueFor(authorized, identity);
  }

  async #issueFor(authorized: AuthorizedRequest, identity: Identity): Promise<Issued> {
    const { call, request, forceNew } = authorized;
    refuseUnusable(identity);
    await this.#refusePending(identity);
    const { cache, audit } = this.#parts;
    try {
      const lookup = lookupOf(identity, request);
      const cached = forceNew ? undefined : await cache.get(lookup, identity.revocations);
      const { token, lastLook } = cached
        ? await this.#note(audit.of(call), "TOKEN_REUSED", { identity, request, token: cached })
        : await this.#mintOrShare(authorized, identity);
      return { identity: await lastLook(), token };
    } catch (error) {
      if (!(error instanceof IdentityNotOwned)) throw error;
      return await this.#tokenFor(authorized, await this.#replaceLost(identity));
    }
  }

  /**
   * What this call has minted has its record; what another has minted just now is given once more. Where the other one's time was up
   * before the service was asked, that is no answer to this one.
   */
  async #mintOrShare(authorized: AuthorizedRequest, identity: Identity): Promise<Noted> {
    const { call, request, forceNew } = authorized;
    const { cache, audit } = this.#parts;
    const own: { noted?: Noted } = {};
    const { signal } = call.deadline;
    const mint = async () => {
      own.noted = await this.#mint(call, identity, request).catch((error: unknown) => {
        throw isNotBegun(error) && signal.aborted ? new CameTooLate(error) : error;
      });
      return own.noted.token;
    };
    const minting = cache.mint(lookupOf(identity, request), identity.revocations, mint, { alone: forceNew });
    try {
      const token = await waitFor(minting, signal);
      return own.noted ?? (await this.#note(audit.of(call), "TOKEN_REUSED", { identity, request, token }));
    } catch (error) {
      if (!(error instanceof CameTooLate)) throw error;
      if (signal.aborted) throw error.cause;
      return await this.#mintOrShare(authorized, identity);
    }
  }

  async #note(
    audit: CallAudit,
    action: "TOKEN_ISSUED" | "TOKEN_REUSED",
    {
      identity,
      request,
      token,
    }: Pick<AuthorizedRequest, "request"> & { readonly identity: Identity; readonly token: ServiceToken },
  ): Promise<Noted> {
    const about = { identityId: identity.id, scopes: request.scopes };
    const look = () => this.#confirmGood(identity, "findBehindRecord");
    return await audit.tokenAndLook(action, { about, token, look });
  }

  /**
   * One token from the service, noted in the row and in the trail. Callers may share it, so it ends with no caller's deadline. The
   * service is not asked after the first caller's deadline, and only that caller sees the budget in its headers.
   */
  async #mint(call: Call, identity: Identity, request: TokenRequest): Promise<Noted> {
    const { identities, service, limits, now } = this.#parts;
    if (identity.communicationUserId === null || identity.user === null) {
      throw new Error(`identity ${identity.id} is ${identity.status} without user or service id`);
    }
    const { user, communicationUserId } = identity;
    const audit = this.#parts.audit.beyond(call);
    return await mintCounted(countedMint(limits, call, user), async () => {
      await audit.intent("TOKEN_ISSUED", { identityId: identity.id, scopes: request.scopes });
      const urgency = urgencyOf(identity, request, now());
      const options = { beginBy: call.deadline.signal, urgency };
      const token = await service.issueToken(communicationUserId, request, options);
      requireUsefulLife(token, now());
      const noted = await identities.recordIssue(identity.id, identity.revocations, now());
      if (noted === undefined) await this.#confirmGood(identity);
      return await this.#note(audit, "TOKEN_ISSUED", { identity, request, token });
    });
  }

  /**
   * The last look before a token leaves: the row as it is now. Refuses when it is not the one that the token was issued or
   * found for, because tokens were revoked meanwhile, or the identity was suspended, deleted or replaced.
   */
  async #confirmGood(identity: Identity, find: "findById" | "findBehindRecord" = "findById"): Promise<Identity> {
    const current = (await this.#parts.identities[find](identity.id)) ?? identity;
    // Deleted just now: nobody asked for an id that is unknown, and the next call makes another.
    if (current.status === "DELETED") throw deletingRefusal();
    refuseUnusable(current);
    const isSame =
      current.status === "ACTIVE" &&
      current.revocations === identity.revocations &&
      current.communicationUserId === identity.communicationUserId;
    if (!isSame) throw pendingRefusal(1);
    return current;
  }

  /** A revocation that the service has yet to carry out would take a new token with it. */
  async #refusePending({ revocationPending, communicationUserId }: Identity): Promise<void> {
    if (!revocationPending || communicationUserId === null) return;
    const { work, now } = this.#parts;
    const pending = await work.find(communicationUserId);
    throw pendingRefusal(Math.max(1, Math.ceil(((pending?.nextTryAt ?? 0) - now()) / 1000)));
  }

  /** The row without the identity that was lost, ready to be provisioned anew, if that is what the operator wants. */
  async #replaceLost(identity: Identity): Promise<Identity> {
    const { identities, events, service, now, onLostIdentity } = this.#parts;
    events.identityLost(identity, service.resource);
    if (onLostIdentity === "refuse" || identity.communicationUserId === null) {
      const message = "Communication Services no longer has this identity; delete it here to get a new one.";
      throw new Refusal("IDENTITY_NOT_FOUND", message, ["input"]);
    }
    await identities.disown(identity, newAttemptId(), now());
    return (await identities.findById(identity.id)) ?? identity;
  }
}

/** The service was not asked, as the time of the call that was to ask it was up; the cause says so. */
class CameTooLate extends Error {
  override readonly name = "CameTooLate";

  constructor(override readonly cause: unknown) {
    super("The service was not asked in time.", { cause });
  }
}

function isNotBegun(error: unknown): boolean {
  return error instanceof ServiceFailure && error.reason === "notBegun";
}

/** Undefined for what is to be refused, as that is recorded with the row that is there. */
function grantIfAllowed({ entitlements }: Call, input: IssueInput): TokenRequest | undefined {
  try {
    return grantToken(entitlements, input);
  } catch {
    return undefined;
  }
}

function lookupOf({ id }: Identity, { scopes, lifetimeMinutes }: TokenRequest): TokenLookup {
  return { identityId: id, scopes, lifetimeMinutes };
}

function refuseUnusable({ status }: Identity): void {
  if (status === "SUSPENDED") throw new Refusal("IDENTITY_SUSPENDED", "The identity is suspended.", ["input"]);
  if (status === "DELETING") throw deletingRefusal();
  if (status === "DELETED") {
    throw new Refusal("IDENTITY_NOT_FOUND", "The identity has been deleted.", ["input", "identityId"]);
  }
}

function pendingRefusal(retryAfterSeconds: number): Refusal {
  const message = "A revocation is under way; ask again when it is done.";
  return new Refusal("REVOCATION_PENDING", message, ["input"], retryAfterSeconds);
}
