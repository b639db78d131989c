/** The authorization endpoint (RFC 6749 §3.1) and what its page sends. An app's mistake is told to the app if it can be. */
import type { IncomingMessage } from "node:http";
import { MAX_SUBJECT_LENGTH } from "../../auth/caller.js";
import type { Answer } from "../../http/answer.js";
import { isStorable } from "../../text.js";
import { AuthorizationError, type Return, readAuthorizationRequest, readReturn } from "./authorization-request.js";
import type { Grants } from "./grants.js";
import { readLife } from "./life.js";
import { errorPage, signInPage } from "./pages.js";
import { BadParameters, type Parameters, readForm, readQuery } from "./parameters.js";
import type { DevUser } from "./signer.js";

export class SignIn {
  constructor(
    private readonly issuer: string,
    private readonly grants: Grants,
  ) {}

  async authorize(request: IncomingMessage): Promise<Answer> {
    return await this.#answer(request, async (parameters) =>
      signInPage(readAuthorizationRequest(parameters), parameters),
    );
  }

  async decide(request: IncomingMessage): Promise<Answer> {
    return await this.#answer(request, async (parameters) => {
      const { clientId, scope, nonce, challenge, ...back } = readAuthorizationRequest(parameters);
      const choice = await readChoice(request);
      if (choice.get("cancel")) throw new AuthorizationError("access_denied", "the user has cancelled");
      const grant = { user: readUser(choice), clientId, scope, nonce, expiresIn: readLife(choice.get("expires_in")) };
      return this.#redirect(back, { code: this.grants.issueCode(grant, back.redirectUri, challenge) });
    });
  }

  async #answer(request: IncomingMessage, answer: (parameters: Parameters) => Promise<Answer>): Promise<Answer> {
    try {
      const parameters = readQuery(request);
      try {
        return await answer(parameters);
      } catch (error) {
        if (!(error instanceof AuthorizationError)) throw error;
        return this.#redirect(readReturn(parameters), { error: error.code, error_description: error.message });
      }
    } catch (error) {
      if (error instanceof BadParameters) return errorPage(error.message);
      throw error;
    }
  }

  /** With the issuer's name, so that no app takes it for another's answer (RFC 9207 §2). */
  #redirect({ redirectUri, state }: Return, answer: Readonly<Record<string, string>>): Answer {
    const url = new URL(redirectUri);
    const all = { ...answer, ...(state !== undefined && { state }), iss: this.issuer };
    for (const [name, value] of Object.entries(all)) url.searchParams.set(name, value);
    return { status: 303, headers: { location: url.href }, body: "" };
  }
}

/** Only a form on our own page is the user's choice. */
async function readChoice(request: IncomingMessage): Promise<Parameters> {
  if (!isFromOwnPage(request)) throw new BadParameters("This form was sent by another page.");
  return await readForm(request);
}

/** As the browser says (Fetch Metadata, `Sec-Fetch-Site`); an older one names the origin only. A shell says neither. */
function isFromOwnPage({ headers }: IncomingMessage): boolean {
  const { "sec-fetch-site": site, origin, host } = headers;
  if (site !== undefined) return site === "same-origin";
  return origin === undefined || origin === `http://${host}`;
}

function readUser(choice: Parameters): DevUser {
  const subject = choice.require("subject").trim();
  if (subject === "" || subject.length > MAX_SUBJECT_LENGTH || !isStorable(subject)) {
    throw new BadParameters(`A name has 1 to ${MAX_SUBJECT_LENGTH} characters, and none of them is NUL.`);
  }
  const roles = (choice.get("roles") ?? "").split(/\s+/).filter((role) => role !== "");
  return { subject, roles };
}
