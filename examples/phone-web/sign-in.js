/**
 * Signs the user in by authorization code with PKCE (RFC 6749 §4.1, RFC 7636), as your own identity provider would have
 * it. In a real app a library does this: oidc-client-ts, MSAL, AppAuth.
 *
 * The access token stays in memory. The refresh token is in this tab's storage, so that the user stays signed in over a
 * reload; it is replaced at each use.
 */

/** There is nobody signed in, or no more. */
export class SignedOut extends Error {
  /** For the client package: only the user can change it. */
  retryable = false;

  constructor(code = "UNAUTHENTICATED") {
    super(code);
    this.code = code;
  }
}

const PENDING = "phone.pending";
const REFRESH_TOKEN = "phone.refreshToken";
/** A token that ends within so many milliseconds is replaced before it is used. */
const MARGIN = 10_000;

export class SignIn {
  #issuer;
  #clientId;
  #redirectUri;
  #access;
  #renewal;
  /** Aborted when the user is forgotten: an answer that comes later is not kept. */
  #session = new AbortController();

  constructor({ issuer, clientId, redirectUri }) {
    this.#issuer = issuer;
    this.#clientId = clientId;
    this.#redirectUri = redirectUri;
  }

  get isSignedIn() {
    return sessionStorage.getItem(REFRESH_TOKEN) !== null;
  }

  /** When the access token ends, in milliseconds since 1970. */
  get accessTokenExpiresAt() {
    return this.#access?.expiresAt;
  }

  /** Leaves for the issuer's page. */
  async begin() {
    const { authorization_endpoint } = await this.#discover();
    const [state, verifier] = [randomText(), randomText()];
    sessionStorage.setItem(PENDING, JSON.stringify({ state, verifier }));
    const parameters = {
      response_type: "code",
      client_id: this.#clientId,
      redirect_uri: this.#redirectUri,
      scope: "openid offline_access",
      state,
      code_challenge: await sha256(verifier),
      code_challenge_method: "S256",
    };
    location.assign(`${authorization_endpoint}?${new URLSearchParams(parameters)}`);
  }

  /** Takes what the issuer's page came back with, if this is such a return. Throws what it says if it is no. */
  async complete() {
    const answer = new URLSearchParams(location.search);
    if (!answer.has("state")) return;
    history.replaceState(null, "", location.pathname);
    const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? "null");
    sessionStorage.removeItem(PENDING);
    // Somebody else's answer, or the answer to somebody else: RFC 9700 §4.7, RFC 9207.
    if (answer.get("state") !== pending?.state || answer.get("iss") !== this.#issuer) throw new SignedOut();
    if (answer.has("error")) throw new SignedOut(answer.get("error"));
    await this.#ask({
      grant_type: "authorization_code",
      code: answer.get("code") ?? "",
      redirect_uri: this.#redirectUri,
      code_verifier: pending.verifier,
    });
  }

  /** The user's access token for the gateway: the one at hand, or a new one. */
  async accessToken({ forceRefresh = false } = {}) {
    const isGood = this.#access !== undefined && Date.now() < this.#access.expiresAt - MARGIN;
    if (!isGood || forceRefresh) await this.#renew();
    return this.#access.token;
  }

  forget() {
    this.#session.abort();
    this.#access = undefined;
    sessionStorage.removeItem(REFRESH_TOKEN);
  }

  /** Once for all who wait: the refresh token is good for one use. */
  async #renew() {
    this.#renewal ??= this.#useRefreshToken().finally(() => {
      this.#renewal = undefined;
    });
    await this.#renewal;
  }

  async #useRefreshToken() {
    const refreshToken = sessionStorage.getItem(REFRESH_TOKEN);
    if (refreshToken === null) throw new SignedOut();
    await this.#ask({ grant_type: "refresh_token", refresh_token: refreshToken });
  }

  async #ask(grant) {
    const { token_endpoint } = await this.#discover();
    const body = new URLSearchParams({ client_id: this.#clientId, ...grant });
    const response = await fetch(token_endpoint, { method: "POST", body, signal: this.#session.signal });
    const answer = await response.json();
    if (answer.error === "invalid_grant") {
      this.forget();
      throw new SignedOut();
    }
    if (!response.ok) throw new Error(answer.error_description);
    this.#access = { token: answer.access_token, expiresAt: Date.now() + answer.expires_in * 1000 };
    sessionStorage.setItem(REFRESH_TOKEN, answer.refresh_token);
  }

  async #discover() {
    const response = await fetch(`${this.#issuer}/.well-known/openid-configuration`);
    return await response.json();
  }
}

function randomText() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

async function sha256(text) {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
