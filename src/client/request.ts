/** One request to the gateway, and what its answer means. */
import { DOCUMENT, DOCUMENT_ID } from "./document.js";
import type { Fetch, RefreshedToken, TokenRefresherOptions } from "./options.js";
import { TokenRefreshError } from "./token-refresh-error.js";

export interface Ask {
  readonly options: TokenRefresherOptions;
  readonly callerToken: string;
  /** By the document's id, or by its text. */
  readonly byId: boolean;
  readonly signal: AbortSignal;
}

/** As much of an answer as is used. Another server's may be anything. */
interface Answer {
  readonly data?: {
    readonly issueAccessToken?: {
      readonly accessToken?: {
        readonly token: string;
        readonly expiresOn: string;
        readonly refreshAfter: string;
      } | null;
      readonly userErrors?: readonly {
        readonly code: string;
        readonly message: string;
        readonly retryAfterSeconds: number | null;
      }[];
    } | null;
  } | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly extensions?: {
      readonly code?: string;
      readonly retryable?: boolean;
      readonly retryAfterSeconds?: number;
      readonly requestId?: string;
    };
  }[];
}

type Reply = Awaited<ReturnType<Fetch>>;

export async function askForToken(ask: Ask): Promise<RefreshedToken | TokenRefreshError> {
  // A proxy, or an app's own `fetch`, may quote what was sent.
  const hidden = (text: unknown) => String(text).split(ask.callerToken).join("…");
  try {
    const reply = await send(ask);
    return read(reply, parse(await reply.text()), hidden);
  } catch (cause) {
    const why = hidden(cause instanceof Error ? cause.message : cause);
    return new TokenRefreshError("NETWORK_ERROR", `The gateway cannot be reached (${why}).`, {
      retryable: true,
      cause,
    });
  }
}

function send({ options, callerToken, byId, signal }: Ask): Promise<Reply> {
  const { url, clientName, clientVersion, scopes, lifetimeMinutes, forceNew } = options;
  // Called without an object before it: a browser's own refuses to be somebody's method.
  const post: Fetch = options.fetch ?? globalThis.fetch;
  const variables = { scopes, lifetimeMinutes, forceNew };
  return post(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/graphql-response+json, application/json",
      authorization: `Bearer ${callerToken}`,
      ...(clientName && { "apollographql-client-name": clientName }),
      ...(clientVersion && { "apollographql-client-version": clientVersion }),
    },
    body: JSON.stringify(byId ? { documentId: DOCUMENT_ID, variables } : { query: DOCUMENT, variables }),
    signal,
  });
}

function parse(text: string): Answer | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function read(
  { status, headers }: Reply,
  answer: Answer | null | undefined,
  hidden: (text: unknown) => string,
): RefreshedToken | TokenRefreshError {
  const { accessToken, userErrors } = answer?.data?.issueAccessToken ?? {};
  const { token, expiresOn = "", refreshAfter = "" } = accessToken ?? {};
  const [expiresOnTimestamp, refreshAfterTimestamp] = [Date.parse(expiresOn), Date.parse(refreshAfter)];
  if (typeof token === "string" && refreshAfterTimestamp <= expiresOnTimestamp) {
    if (expiresOnTimestamp > Date.now()) return { token, expiresOnTimestamp, refreshAfterTimestamp };
    return new TokenRefreshError("CLOCK_WRONG", `The new token ended at ${expiresOn}.`, {
      retryable: true,
      status,
    });
  }
  const refusal = userErrors?.[0];
  const error = answer?.errors?.[0];
  const { code, retryable, retryAfterSeconds, requestId = headers.get("x-request-id") } = error?.extensions ?? {};
  const about = {
    status,
    requestId,
    retryAfterSeconds: refusal?.retryAfterSeconds ?? retryAfterSeconds ?? secondsIn(headers.get("retry-after")),
  };
  if (refusal) {
    const { code, message, retryAfterSeconds } = refusal;
    return new TokenRefreshError(code, hidden(message), { ...about, retryable: typeof retryAfterSeconds === "number" });
  }
  return new TokenRefreshError(
    code ?? (status === 401 ? "UNAUTHENTICATED" : "UNEXPECTED_ANSWER"),
    hidden(error?.message ?? `The answer is not one of the gateway's (HTTP ${status}).`),
    // A 200 without a GraphQL answer is a login page of the network that the device is in, and passes. A request that was slow
    // to arrive is refused with 408, by the gateway too.
    {
      ...about,
      retryable: retryable === true || status >= 500 || [408, 425, 429].includes(status) || (status < 300 && !error),
    },
  );
}

/** Of a `Retry-After` header: seconds, or a date (RFC 9110 §10.2.3). */
function secondsIn(retryAfter: string | null): number | undefined {
  if (!retryAfter) return undefined;
  const seconds = Number(retryAfter);
  return Number.isNaN(seconds) ? (Date.parse(retryAfter) - Date.now()) / 1000 : seconds;
}
