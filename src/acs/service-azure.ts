import {
  CommunicationIdentityClient,
  type CommunicationIdentityClientOptions,
  type TokenScope as WireScope,
} from "@azure/communication-identity";
import type { AcsAccess, TokenScope } from "../config/config.js";
import { StartError } from "../errors.js";
import type { CommunicationService, ServiceToken, TokenRequest } from "./service.js";
import { translateServiceError } from "./service-errors.js";

const WIRE_SCOPES: Readonly<Record<TokenScope, WireScope>> = {
  CHAT: "chat",
  CHAT_JOIN: "chat.join",
  CHAT_JOIN_LIMITED: "chat.join.limited",
  VOIP: "voip",
  VOIP_JOIN: "voip.join",
};

export type ServiceOperation =
  | "createIdentity"
  | "createIdentityWithToken"
  | "issueToken"
  | "revokeTokens"
  | "deleteIdentity"
  | "exchangeTeamsToken";

interface AzureServiceOptions {
  readonly access: AcsAccess;
  readonly timeoutMs: number;
  /** Told of every call when it ends. */
  readonly observe: (operation: ServiceOperation, outcome: "ok" | "failed", milliseconds: number) => void;
}

/** Communication Services through Microsoft's client. */
export async function connectAzureService(options: AzureServiceOptions): Promise<CommunicationService> {
  return new AzureService(await createClient(options.access), options);
}

async function createClient(access: AcsAccess): Promise<CommunicationIdentityClient> {
  // The client's own retries repeat creates and wait for Retry-After without a cap.
  const settings: CommunicationIdentityClientOptions = {
    retryOptions: { maxRetries: 0 },
    allowInsecureConnection: access.endpoint.startsWith("http:"),
  };
  try {
    if (access.kind === "key") {
      return new CommunicationIdentityClient(access.endpoint, { key: access.accessKeys[0].reveal() }, settings);
    }
    // Loaded only when used: it is by far the largest dependency.
    const { DefaultAzureCredential } = await import("@azure/identity");
    return new CommunicationIdentityClient(access.endpoint, new DefaultAzureCredential(), settings);
  } catch (error) {
    // Microsoft's message may quote what it was given, so it is not passed on.
    throw new StartError(
      "The Communication Services client cannot be made: check acs.connectionString or acs.endpoint.",
      {
        cause: error,
      },
    );
  }
}

class AzureService implements CommunicationService {
  readonly resource: string;
  readonly #client: CommunicationIdentityClient;
  readonly #options: AzureServiceOptions;

  constructor(client: CommunicationIdentityClient, options: AzureServiceOptions) {
    this.#client = client;
    this.#options = options;
    this.resource = new URL(options.access.endpoint).host;
  }

  async createIdentity() {
    return await this.#call("createIdentity", undefined, async (abortSignal) =>
      identityOf(await this.#client.createUser({ abortSignal })),
    );
  }

  async createIdentityWithToken(request: TokenRequest) {
    return await this.#call("createIdentityWithToken", undefined, async (abortSignal) => {
      const made = await this.#client.createUserAndToken(wireScopes(request), {
        ...wireLifetime(request),
        abortSignal,
      });
      return { ...identityOf(made.user), token: serviceToken(made) };
    });
  }

  async issueToken(communicationUserId: string, request: TokenRequest) {
    return await this.#call("issueToken", undefined, async (abortSignal) => {
      const options = { ...wireLifetime(request), abortSignal };
      return serviceToken(await this.#client.getToken({ communicationUserId }, wireScopes(request), options));
    });
  }

  async revokeTokens(communicationUserId: string, deadline?: AbortSignal) {
    await this.#call("revokeTokens", deadline, (abortSignal) =>
      this.#client.revokeTokens({ communicationUserId }, { abortSignal }),
    );
  }

  async deleteIdentity(communicationUserId: string, deadline?: AbortSignal) {
    await this.#call("deleteIdentity", deadline, (abortSignal) =>
      this.#client.deleteUser({ communicationUserId }, { abortSignal }),
    );
  }

  async exchangeTeamsToken(request: Parameters<CommunicationService["exchangeTeamsToken"]>[0], deadline: AbortSignal) {
    return await this.#call("exchangeTeamsToken", deadline, async (abortSignal) =>
      serviceToken(await this.#client.getTokenForTeamsUser({ ...request, abortSignal })),
    );
  }

  async check(deadline: AbortSignal): Promise<void> {
    const response = await fetch(this.#options.access.endpoint, {
      method: "HEAD",
      redirect: "manual",
      signal: deadline,
    });
    await response.body?.cancel();
  }

  /** One call, one deadline, one translation of what goes wrong. */
  async #call<Result>(
    operation: ServiceOperation,
    deadline: AbortSignal | undefined,
    send: (abortSignal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const started = performance.now();
    try {
      const timeout = AbortSignal.timeout(this.#options.timeoutMs);
      const result = await send(deadline === undefined ? timeout : AbortSignal.any([deadline, timeout]));
      this.#options.observe(operation, "ok", performance.now() - started);
      return result;
    } catch (error) {
      this.#options.observe(operation, "failed", performance.now() - started);
      throw translateServiceError(operation, error);
    }
  }
}

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
function serviceToken({ token, expiresOn }: { token?: unknown; expiresOn?: unknown }): ServiceToken {
  const ends = expiresOn instanceof Date ? expiresOn.getTime() : Number.NaN;
  if (typeof token !== "string" || token === "" || Number.isNaN(ends))
    throw new Error("the service answered without a token");
  return { token, expiresOn: ends };
}
