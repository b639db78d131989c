/**
 * An OpenID issuer for development: discovery, a key and tokens for whoever is named, without a password. Its key and port
 * are kept in a file, so that tokens and users outlive a restart. It gives its tokens to loopback names only.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from "jose";
import { StartError } from "../errors.js";
import { isLoopbackHost } from "./loopback.js";
import { listenOn } from "./port.js";

const ALGORITHM = "ES256";
const TOKEN_HOURS = 12;

interface IssuerState {
  readonly port: number;
  readonly key: JWK;
}

interface IssuerOptions {
  /** Where key and port are kept. */
  readonly file: string;
  /** Tried first when there is no remembered port; another free one is taken if it is in use. */
  readonly preferredPort: number;
  readonly audience: string;
}

interface DevUser {
  readonly subject: string;
  readonly roles?: readonly string[];
  /** Thumbprint of the client's key, for a token that is bound to it (RFC 9449 §6.1). */
  readonly jkt?: string | undefined;
}

export interface DevIssuer {
  /** The `iss` of its tokens, and its address. */
  readonly issuer: string;
  /** An access token (RFC 9068) for this user, good for 12 hours. */
  token(user: DevUser): Promise<string>;
  close(): Promise<void>;
}

export async function startIssuer({ file, preferredPort, audience }: IssuerOptions): Promise<DevIssuer> {
  const saved = readState(file);
  const key = saved?.key ?? (await newKey());
  const server = createServer();
  const port = await listenOn(server, {
    remembered: saved?.port,
    preferred: preferredPort,
    name: "the embedded issuer",
  });
  if (saved === undefined) writeState(file, { port, key });
  const issuer = new Issuer(`http://127.0.0.1:${port}`, audience, key, (await importJWK(key, ALGORITHM)) as CryptoKey);
  server.on("request", (request, response) => {
    issuer.answer(request, response).catch(() => json(response, 500, { error: "server_error" }));
  });
  return {
    issuer: issuer.url,
    token: (user) => issuer.token(user),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

class Issuer {
  constructor(
    readonly url: string,
    private readonly audience: string,
    private readonly key: JWK,
    private readonly privateKey: CryptoKey,
  ) {}

  async token({ subject, roles = [], jkt }: DevUser): Promise<string> {
    return await new SignJWT({ client_id: "dev", roles, ...(jkt !== undefined && { cnf: { jkt } }) })
      .setProtectedHeader({ alg: ALGORITHM, typ: "at+jwt", kid: this.key.kid ?? "" })
      .setIssuer(this.url)
      .setAudience(this.audience)
      .setSubject(subject)
      .setJti(crypto.randomUUID())
      .setIssuedAt()
      .setExpirationTime(`${TOKEN_HOURS}h`)
      .sign(this.privateKey);
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!isLoopbackHost(request)) return json(response, 403, { error: "Ask at http://127.0.0.1 or http://localhost." });
    const url = new URL(request.url ?? "/", this.url);
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        return json(response, 200, this.#metadata());
      case "/jwks":
        return json(response, 200, { keys: [publicPart(this.key)] });
      case "/token":
        return await this.#answerToken(url.searchParams, response);
      default:
        return json(response, 404, { error: "Try /.well-known/openid-configuration, /jwks or /token?subject=alice" });
    }
  }

  async #answerToken(query: URLSearchParams, response: ServerResponse): Promise<void> {
    const subject = query.get("subject");
    if (!subject) {
      const error = "Name a user: /token?subject=alice, with &roles=Gateway.Admin or &jkt=<thumbprint> if you like";
      return json(response, 400, { error });
    }
    const jkt = query.get("jkt") ?? undefined;
    const access_token = await this.token({ subject, roles: query.getAll("roles"), jkt });
    const token_type = jkt === undefined ? "Bearer" : "DPoP";
    json(response, 200, { access_token, token_type, expires_in: TOKEN_HOURS * 3600 });
  }

  #metadata(): object {
    return {
      issuer: this.url,
      jwks_uri: `${this.url}/jwks`,
      token_endpoint: `${this.url}/token`,
      response_types_supported: ["token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: [ALGORITHM],
    };
  }
}

async function newKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: crypto.randomUUID(), alg: ALGORITHM, use: "sig" };
}

function publicPart({ d: _, ...publicKey }: JWK): JWK {
  return publicKey;
}

function readState(file: string): IssuerState | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as IssuerState;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new StartError(
      `${file}, which has the embedded issuer's key, cannot be read: delete it, or the whole folder, to start afresh.`,
      {
        cause: error,
      },
    );
  }
}

/** Whole or not at all, whenever the process ends. */
function writeState(file: string, state: IssuerState): void {
  writeFileSync(`${file}.new`, JSON.stringify(state), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(value));
}
