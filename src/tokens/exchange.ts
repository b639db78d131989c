import {
  type CommunicationService,
  type ServiceToken,
  TeamsTokenRejected,
  type TeamsTokenRequest,
} from "../acs/service.js";
import type { AuditLog, Recorded } from "../audit/log.js";
import { Refusal } from "../errors.js";
import type { Limits } from "../limits/limits.js";
import type { Call } from "../policy/call.js";
import { requirePermission } from "../policy/policy.js";
import type { IdentityStore } from "../store/identity-store.js";
import { countedMint, mintCounted } from "./counted-mint.js";
import { hasUsefulLife, refreshAfter } from "./lifetime.js";

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** An exchange with less of the request's time left is not begun. */
const LEAST_MS = 1000;
const MAX_TOKEN_LENGTH = 16_384;

/** Times are ms since 1970. */
export interface ExchangedToken {
  readonly token: string;
  readonly expiresOn: number;
  readonly refreshAfter: number;
}

interface ExchangeParts {
  readonly identities: IdentityStore;
  readonly service: CommunicationService;
  readonly limits: Limits;
  readonly audit: AuditLog;
  readonly now: () => number;
  readonly random: () => number;
}

/** Whom records are about: with the identity that they have here, if any, the name in them is found to be erased. */
interface AboutCaller {
  identityId: string | null;
}

/** A Teams user's Entra ID token for a Communication Services token that lives as long. The service checks whose it is. */
export class TeamsExchange {
  readonly #parts: ExchangeParts;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
  }

  async exchange(call: Call, request: TeamsTokenRequest): Promise<ExchangedToken> {
    const about: AboutCaller = { identityId: null };
    return await this.#parts.audit.of(call).orRefused(about, () => this.#exchange(call, request, about));
  }

  async #exchange(call: Call, request: TeamsTokenRequest, about: AboutCaller): Promise<ExchangedToken> {
    requirePermission(call.entitlements, "TOKEN_ISSUE");
    checkRequest(request);
    await this.#refuseSuspended(call, about);
    const { limits, now, random } = this.#parts;
    const mint = countedMint(limits, call, call.caller);
    const token = await mintCounted(mint, () => this.#exchangeRecorded(call, request, about));
    await this.#refuseSuspended(call, about);
    return { ...token, refreshAfter: refreshAfter(now(), token.expiresOn, random()) };
  }

  async #exchangeRecorded(call: Call, request: TeamsTokenRequest, about: AboutCaller): Promise<Recorded<ServiceToken>> {
    const audit = this.#parts.audit.of(call);
    await audit.intent("TEAMS_TOKEN_EXCHANGED", about);
    const token = await this.#askService(request, call);
    if (!hasUsefulLife(token, this.#parts.now()))
      throw rejected("The Teams user's token has less than 15 minutes left; get a new one.");
    return await audit.token("TEAMS_TOKEN_EXCHANGED", about, token);
  }

  /** Whoever is suspended gets no tokens, under whatever name. */
  async #refuseSuspended({ caller }: Call, about: AboutCaller): Promise<void> {
    const own = await this.#parts.identities.findByUser(caller);
    about.identityId ??= own?.id ?? null;
    if (own?.status === "SUSPENDED") throw new Refusal("IDENTITY_SUSPENDED", "Your identity is suspended.", ["input"]);
  }

  async #askService(request: TeamsTokenRequest, { deadline }: Call): Promise<ServiceToken> {
    try {
      return await this.#parts.service.exchangeTeamsToken(request, {
        beginBy: deadline.signalBefore(LEAST_MS),
        deadline: deadline.signal,
      });
    } catch (error) {
      if (!(error instanceof TeamsTokenRejected)) throw error;
      throw rejected("Communication Services did not accept the Teams user's token for this client and user.");
    }
  }
}

function rejected(message: string): Refusal {
  return new Refusal("TEAMS_TOKEN_REJECTED", message, ["input", "teamsUserAadToken"]);
}

function checkRequest({ teamsUserAadToken, clientId, userObjectId }: TeamsTokenRequest): void {
  if (teamsUserAadToken === "" || teamsUserAadToken.length > MAX_TOKEN_LENGTH) {
    const message = `The token must have 1 to ${MAX_TOKEN_LENGTH} characters.`;
    throw new Refusal("INVALID_INPUT", message, ["input", "teamsUserAadToken"]);
  }
  for (const [field, value] of Object.entries({ clientId, userObjectId })) {
    if (!GUID.test(value)) throw new Refusal("INVALID_INPUT", `The ${field} must be a GUID.`, ["input", field]);
  }
}
