import type { IncomingMessage } from "node:http";
import type { Authenticator } from "../auth/authenticator.js";
import type { Caller } from "../auth/caller.js";
import { challengesFor } from "../auth/challenge.js";
import { type AuthenticationHeaders, readCredentials } from "../auth/credentials.js";
import { AuthenticationFailure, NonceNeeded } from "../auth/failure.js";
import { GatewayError } from "../errors.js";
import type { Limits } from "../limits/limits.js";
import type { Events } from "../observe/events.js";
import { networkOf } from "./addresses.js";
import type { Proxies } from "./proxies.js";
import { connectedUrl } from "./request-form.js";

interface CallerCheckParts {
  readonly authenticator: Authenticator;
  readonly limits: Limits;
  readonly proxies: Proxies;
  readonly events: Events;
  /** Where clients believe the gateway to be, without a slash at the end; null: at the address they are connected to. */
  readonly publicUrl: string | null;
}

/** Who sends a request: what HTTP has to do with it, before and after `auth/` has judged. */
export class CallerCheck {
  readonly #parts: CallerCheckParts;

  constructor(parts: CallerCheckParts) {
    this.#parts = parts;
  }

  /** By the request's headers, unless what they would say is given. Throws an `AuthenticationFailure`, or RATE_LIMITED in its place when there were too many from the client's network. */
  async authenticate(
    request: IncomingMessage,
    requestId: string,
    given: AuthenticationHeaders = headerLines(request),
  ): Promise<Caller> {
    const { authenticator, proxies, publicUrl } = this.#parts;
    try {
      return await authenticator.authenticate({
        ...readCredentials(given),
        method: request.method ?? "",
        uri: `${publicUrl ?? connectedUrl(request)}/graphql`,
        certificate: proxies.clientCertificate(request),
      });
    } catch (error) {
      if (error instanceof AuthenticationFailure) await this.#countFailure(error, request, requestId);
      throw error;
    }
  }

  /** Throws UNAUTHENTICATED for a caller from before whose token is good no longer, and KEYS_UNAVAILABLE when that cannot be told. */
  async requireStillGood(caller: Caller): Promise<void> {
    if (await this.#parts.authenticator.isStillGood(caller)) return;
    throw new GatewayError("UNAUTHENTICATED", "The caller's token is no longer good: connect again with a new one.");
  }

  /** What the answer tells of authentication: challenges to who failed, and the nonce for the next proof. */
  headersFor(outcome: Caller | AuthenticationFailure, request: IncomingMessage): Record<string, string | string[]> {
    const nonce = this.#parts.authenticator.nonceFor(outcome);
    const failed = outcome instanceof AuthenticationFailure;
    return {
      ...(failed && { "www-authenticate": challengesFor(outcome, request.headers.authorization) }),
      ...(nonce !== undefined && { "dpop-nonce": nonce }),
    };
  }

  async #countFailure(failure: AuthenticationFailure, request: IncomingMessage, requestId: string): Promise<void> {
    const { limits, proxies, events } = this.#parts;
    events.authenticationFailed(requestId, failure);
    // Who is asked for a nonce is known, so it is one of their requests, and nobody's who shares their address.
    if (failure instanceof NonceNeeded) await limits.takeRequest(failure.user);
    else await limits.takeFailedAuth(networkOf(proxies.clientAddress(request)));
  }
}

/** The lines of the two headers that carry credentials. Names and values take turns in `rawHeaders`. */
function headerLines({ rawHeaders }: IncomingMessage): { authorization: string[]; dpop: string[] } {
  const lines = { authorization: [] as string[], dpop: [] as string[] };
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase();
    if (name === "authorization" || name === "dpop") lines[name].push(rawHeaders[index + 1] ?? "");
  }
  return lines;
}
