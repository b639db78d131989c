import type { TokenScope as WireScope } from "@azure/communication-identity";
import type { AcsAccess, TokenScope } from "../config/config.js";
import type { Tracing } from "../observe/tracing.js";
import { ask } from "../outgoing.js";
import { type AccessKeyName, type Credential, type Credentials, openCredentials } from "./credentials-azure.js";
import { resourceOf } from "./resource.js";
import type {
  CallTerms,
  CommunicationService,
  ServiceOperation,
  ServiceToken,
  TeamsTokenRequest,
  TokenRequest,
} from "./service.js";
import { isKeyRefused, showsGoodKey, translateServiceError } from "./service-errors.js";
import { traceAttempts } from "./trace-attempts.js";

const WIRE_SCOPES: Readonly<Record<TokenScope, WireScope>> = {
  CHAT: "chat",
  CHAT_JOIN: "chat.join",
  CHAT_JOIN_LIMITED: "chat.join.limited",
  VOIP: "voip",
  VOIP_JOIN: "voip.join",
};

interface AzureServiceOptions {
  readonly access: AcsAccess;
  readonly timeoutMs: number;
  /** Told of every call when it ends. */
  readonly observe: (operation: ServiceOperation, outcome: "ok" | "failed", milliseconds: number) => void;
  /** Told when the service refuses the access key in use and takes the other one. */
  readonly onKeySwitch?: (to: AccessKeyName) => void;
  readonly tracing?: Tracing | undefined;
}

/** Communication Services through Microsoft's client. Here a call is one attempt, which any deadline ends. */
export async function connectAzureService(options: AzureServiceOptions): Promise<CommunicationService> {
  const { access, tracing, onKeySwitch } = options;
  const credentials = await openCredentials(access, (to) => onKeySwitch?.(to), tracing && traceAttempts(tracing));
  return new AzureService(credentials, options);
}

class AzureService implements CommunicationService {
  readonly resource: string;
  readonly #credentials: Credentials;
  readonly #options: AzureServiceOptions;

  constructor(credentials: Credentials, options: AzureServiceOptions) {
    this.#credentials = credentials;
    this.#options = options;
    this.resource = resourceOf(options.access);
  }

  get credentialId(): string {
    return this.#credentials.inUse.id;
  }

  async createIdentity(terms?: CallTerms) {
    return await this.#call("createIdentity", terms, async ({ client }, abortSignal) =>
      identityOf(await client.createUser({ abortSignal })),
    );
  }

  async createIdentityWithToken(request: TokenRequest, terms?: CallTerms) {
    return await this.#call("createIdentityWithToken", terms, async (credential, abortSignal) => {
      const options = { ...wireLifetime(request), abortSignal };
      const made = await credential.client.createUserAndToken(wireScopes(request), options);
      return { ...identityOf(made.user), token: serviceToken(made, credential) };
    });
  }

  async issueToken(communicationUserId: string, request: TokenRequest, terms?: CallTerms) {
    return await this.#call("issueToken", terms, async (credential, abortSignal) => {
      const options = { ...wireLifetime(request), abortSignal };
      const made = await credential.client.getToken({ communicationUserId }, wireScopes(request), options);
      return serviceToken(made, credential);
    });
  }

  async revokeTokens(communicationUserId: string, terms?: CallTerms) {
    await this.#call("revokeTokens", terms, ({ client }, abortSignal) =>
      client.revokeTokens({ communicationUserId }, { abortSignal }),
    );
  }

  async deleteIdentity(communicationUserId: string, terms?: CallTerms) {
    await this.#call("deleteIdentity", terms, ({ client }, abortSignal) =>
      client.deleteUser({ communicationUserId }, { abortSignal }),
    );
  }

  async exchangeTeamsToken(request: TeamsTokenRequest, terms?: CallTerms) {
    return await this.#call("exchangeTeamsToken", terms, async (credential, abortSignal) =>
      serviceToken(await credential.client.getTokenForTeamsUser({ ...request, abortSignal }), credential),
    );
  }

  async check(deadline: AbortSignal): Promise<void> {
    const response = await ask(this.#options.access.endpoint, { method: "HEAD" }, deadline);
    response.destroy();
  }

  /** One deadline, one translation of what goes wrong; and once more with the other key if the first is refused. */
  async #call<Result>(operation: ServiceOperation, terms: CallTerms | undefined, send: Send<Result>) {
    const deadline = terms?.deadline;
    const timeout = AbortSignal.timeout(this.#options.timeoutMs);
    const abortSignal = deadline === undefined ? timeout : AbortSignal.any([deadline, timeout]);
    const attempt = (credential: Credential) => this.#observed(operation, () => send(credential, abortSignal));
    const used = this.#credentials.inUse;
    try {
      return await attempt(used).catch(async (error: unknown) => {
        const other = this.#credentials.otherThan(used);
        if (other === undefined || !isKeyRefused(error)) throw error;
        return await this.#trying(other, used, attempt);
      });
    } catch (error) {
      throw translateServiceError(operation, error);
    }
  }

  /** From now on with the other key, if the service takes it. */
  async #trying<Result>(other: Credential, refused: Credential, attempt: (credential: Credential) => Promise<Result>) {
    try {
      const result = await attempt(other);
      this.#credentials.replace(refused, other);
      return result;
    } catch (error) {
      if (showsGoodKey(error)) this.#credentials.replace(refused, other);
      throw error;
    }
  }

  async #observed<Result>(operation: ServiceOperation, attempt: () => Promise<Result>): Promise<Result> {
    const started = performance.now();
    try {
      const result = await attempt();
      this.#options.observe(operation, "ok", performance.now() - started);
      return result;
    } catch (error) {
      this.#options.observe(operation, "failed", performance.now() - started);
      throw error;
    }
  }
}

type Send<Result> = (credential: Credential, abortSignal: AbortSignal) => Promise<Result>;

function wireScopes({ scopes }: TokenRequest): WireScope[] {
  return scopes.map((scope) => WIRE_SCOPES[scope]);
}

function wireLifetime({ lifetimeMinutes }: TokenRequest): { tokenExpiresInMinutes: number } {
  return { tokenExpiresInMinutes: lifetimeMinutes };
}

/** Throws for an answer that is not what the client's types promise. */
function identityOf({ communicationUserId }: { communicationUserId?: unknown }): { communicationUserId: string } {
  if (typeof communicationUserId === "string" && communicationUserId !== "") return { communicationUserId };
  throw new Error("the service answered without an id");
}

/** Throws for an answer that is not what the client's types promise. */
function serviceToken(
  { token, expiresOn }: { token?: unknown; expiresOn?: unknown },
  { id: credentialId }: Credential,
): ServiceToken {
  const ends = expiresOn instanceof Date ? expiresOn.getTime() : Number.NaN;
  if (typeof token !== "string" || token === "" || Number.isNaN(ends))
    throw new Error("the service answered without a token");
  return { token, expiresOn: ends, credentialId };
}
