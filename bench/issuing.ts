/** The work that is measured: `issueAccessToken`, as it is asked for and as it has to be answered. */
import type { Answer } from "./connection.js";
import type { LoadRequest } from "./load.js";

const DOCUMENT = `mutation Issue($scopes: [TokenScope!]!, $forceNew: Boolean) {
  issueAccessToken(input: { scopes: $scopes, forceNew: $forceNew }) {
    accessToken { token expiresOn scopes identity { id communicationUserId } }
    userErrors { code message }
  }
}`;

export function issueRequest(token: string, { forceNew } = { forceNew: false }): LoadRequest {
  return {
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify({ query: DOCUMENT, variables: { scopes: ["CHAT", "VOIP"], forceNew } }),
  };
}

/** Every so many-th answer is read as a whole; of the others status and token are looked for, which costs less than the answer did. */
const READ_EVERY = 100;

export function checkIssued(): (answer: Answer) => string | undefined {
  let answers = 0;
  return (answer) => (answers++ % READ_EVERY === 0 ? whyNotWhole(answer) : whyNotIssued(answer));
}

export function whyNotIssued({ status, body }: Answer): string | undefined {
  if (status !== 200) return "not answered";
  return body.includes('"token":"ey') ? undefined : "no token";
}

interface Issued {
  readonly data?: {
    readonly issueAccessToken?: {
      readonly accessToken?: {
        readonly token?: unknown;
        readonly expiresOn?: unknown;
        readonly scopes?: unknown;
        readonly identity?: { readonly id?: unknown; readonly communicationUserId?: unknown };
      };
    };
  };
}

export function whyNotWhole(answer: Answer): string | undefined {
  const fault = whyNotIssued(answer);
  if (fault !== undefined) return fault;
  const { accessToken } = (JSON.parse(answer.body) as Issued).data?.issueAccessToken ?? {};
  const { token, expiresOn, scopes, identity } = accessToken ?? {};
  const texts = [token, expiresOn, identity?.id, identity?.communicationUserId];
  const isWhole = texts.every((text) => typeof text === "string") && String(scopes) === "CHAT,VOIP";
  return isWhole ? undefined : "not all that was asked for";
}
