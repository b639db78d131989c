import { type CommunicationService, TeamsTokenRejected, type TeamsTokenRequest } from "../acs/service.js";
import { Refusal } from "../errors.js";
import type { Limits } from "../limits/limits.js";
import type { Call } from "../policy/call.js";
import { requirePermission } from "../policy/policy.js";
import { refreshAfter } from "./refresh-after.js";

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MAX_TOKEN_LENGTH = 16_384;

/** Times are ms since 1970. */
export interface ExchangedToken {
  readonly token: string;
  readonly expiresOn: number;
  readonly refreshAfter: number;
}

interface ExchangeParts {
  readonly service: CommunicationService;
  readonly limits: Limits;
  readonly now: () => number;
  readonly random: () => number;
}

/** A Teams user's Entra ID token for a Communication Services token that lives as long. The service checks whose it is. */
export class TeamsExchange {
  readonly #parts: ExchangeParts;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
  }

  async exchange(call: Call, request: TeamsTokenRequest): Promise<ExchangedToken> {
    requirePermission(call.entitlements, "TOKEN_ISSUE");
    checkRequest(request);
    const { service, limits, now, random } = this.#parts;
    await limits.takeMint(call.caller);
    try {
      const { token, expiresOn } = await service.exchangeTeamsToken(request, call.deadline);
      return { token, expiresOn, refreshAfter: refreshAfter(now(), expiresOn, random()) };
    } catch (error) {
      if (!(error instanceof TeamsTokenRejected)) throw error;
      const message = "Communication Services did not accept the Teams user's token for this client and user.";
      throw new Refusal("TEAMS_TOKEN_REJECTED", message, ["input", "teamsUserAadToken"]);
    }
  }
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
