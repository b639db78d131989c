/** The token endpoint (RFC 6749 §3.2), for public clients: codes and refresh tokens in, tokens out. */
import type { IncomingMessage } from "node:http";
import { type Answer, json } from "../../http/answer.js";
import type { Grants, Redeemed } from "./grants.js";
import { BadParameters, type Parameters, readForm } from "./parameters.js";
import type { Signer } from "./signer.js";

/** RFC 6749 §5.2 */
class TokenError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export class TokenEndpoint {
  constructor(
    private readonly grants: Grants,
    private readonly signer: Signer,
  ) {}

  async answer(request: IncomingMessage): Promise<Answer> {
    try {
      if (request.headers.authorization !== undefined) {
        throw new TokenError("invalid_client", "clients have no secret here: send client_id in the form");
      }
      return json(200, await this.#tokens(this.#redeem(await readForm(request))));
    } catch (error) {
      if (error instanceof BadParameters) return refusal("invalid_request", error.message);
      if (error instanceof TokenError) return refusal(error.code, error.message);
      throw error;
    }
  }

  #redeem(form: Parameters): Redeemed {
    switch (form.require("grant_type")) {
      case "authorization_code":
        return this.#redeemCode(form);
      case "refresh_token":
        return this.#refresh(form);
      default:
        throw new TokenError("unsupported_grant_type", "grant_type is authorization_code or refresh_token");
    }
  }

  #redeemCode(form: Parameters): Redeemed {
    const redeemed = this.grants.redeemCode(form.require("code"), {
      clientId: form.get("client_id"),
      redirectUri: form.get("redirect_uri"),
      verifier: form.get("code_verifier"),
    });
    if (redeemed) return redeemed;
    for (const name of ["client_id", "redirect_uri", "code_verifier"]) form.require(name);
    throw new TokenError(
      "invalid_grant",
      "the code was used, has expired or is unknown, or client_id, redirect_uri or code_verifier is another than it was made for",
    );
  }

  #refresh(form: Parameters): Redeemed {
    const redeemed = this.grants.refresh(form.require("refresh_token"), form.require("client_id"));
    if (redeemed) return redeemed;
    throw new TokenError("invalid_grant", "the refresh token was used, has expired or is unknown: sign in again");
  }

  async #tokens({ grant, refreshToken }: Redeemed): Promise<object> {
    const { user, scope, expiresIn } = grant;
    const isOpenId = scope?.split(" ").includes("openid");
    return {
      access_token: await this.signer.accessToken(user, grant),
      token_type: "Bearer",
      expires_in: expiresIn,
      refresh_token: refreshToken,
      ...(isOpenId && { id_token: await this.signer.idToken(user, grant) }),
    };
  }
}

function refusal(error: string, description: string): Answer {
  return json(error === "invalid_client" ? 401 : 400, { error, error_description: description });
}
