/**
 * `GET /token?subject=alice`: a token for whoever is named, by one line in a shell; `/token.txt` is the token alone. No web
 * page of elsewhere can read it.
 */
import type { IncomingMessage } from "node:http";
import { type Answer, json } from "../../http/answer.js";
import { readLife } from "./life.js";
import { BadParameters } from "./parameters.js";
import { type AccessTokenOptions, type DevUser, NO_APP, type Signer } from "./signer.js";

export async function answerShellToken({ url = "/" }: IncomingMessage, signer: Signer): Promise<Answer> {
  const [path, query] = url.split("?");
  try {
    const { user, options } = readRequest(new URLSearchParams(query));
    const access_token = await signer.accessToken(user, options);
    if (path === "/token.txt") return { status: 200, headers: { "content-type": "text/plain" }, body: access_token };
    const token_type = options.jkt === undefined ? "Bearer" : "DPoP";
    return json(200, { access_token, token_type, expires_in: options.expiresIn });
  } catch (error) {
    if (error instanceof BadParameters) return json(400, { error: error.message });
    throw error;
  }
}

function readRequest(query: URLSearchParams): { user: DevUser; options: AccessTokenOptions } {
  const subject = query.get("subject");
  if (!subject) {
    throw new BadParameters(
      "Name a user: /token?subject=alice, with &roles=Gateway.Admin, &expires_in=<seconds> or &jkt=<thumbprint> if you like",
    );
  }
  const expiresIn = readLife(query.get("expires_in") ?? undefined);
  const jkt = query.get("jkt") ?? undefined;
  return { user: { subject, roles: query.getAll("roles") }, options: { clientId: NO_APP, expiresIn, jkt } };
}
