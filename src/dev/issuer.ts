/**
 * An OpenID issuer for development: discovery, a key and tokens for whoever is named, without a password. Its key and port
 * are kept in a file, so that tokens and users outlive a restart.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { dirname } from "node:path";
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from "jose";
import { listenOn } from "./port.js";

const ALGORITHM = "ES256";
const TOKEN_HOURS = 12;

interface IssuerState {
  readonly port: number;
  readonly key: JWK;
}

interface IssuerOptions {
  /** Where key and port are kept; left out: nowhere. */
  readonly file?: string | undefined;
  /** Tried first when there is no remembered port; another free one is taken if it is in use. */
  readonly preferredPort: number;
  readonly audience: string;
}

export interface DevIssuer {
  /** The `iss` of its tokens, and its address. */
  readonly issuer: string;
  /** An access token (RFC 9068) for this user, good for 12 hours. */
  token(user: { subject: string; roles?: readonly string[] }): Promise<string>;
  close(): Promise<void>;
}

export async function startIssuer({ file, preferredPort, audience }: IssuerOptions): Promise<DevIssuer> {
  const saved =
    file !== undefined && existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as IssuerState) : undefined;
  const key = saved?.key ?? (await newKey());
  const privateKey = await importJWK(key, ALGORITHM);
  const { d: _, ...publicKey } = key;
  const server = createServer((request, response) => {
    answer(request, response).catch(() => json(response, 500, { error: "server_error" }));
  });
  const port = await listenOn(server, {
    remembered: saved?.port,
    preferred: preferredPort,
    name: "the embedded issuer",
  });
  const issuer = `http://127.0.0.1:${port}`;
  if (file !== undefined) save(file, { port, key });

  const token: DevIssuer["token"] = async ({ subject, roles = [] }) =>
    await new SignJWT({ client_id: "dev", roles })
      .setProtectedHeader({ alg: ALGORITHM, typ: "at+jwt", kid: key.kid ?? "" })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject(subject)
      .setJti(crypto.randomUUID())
      .setIssuedAt()
      .setExpirationTime(`${TOKEN_HOURS}h`)
      .sign(privateKey);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", issuer);
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        return json(response, 200, {
          issuer,
          jwks_uri: `${issuer}/jwks`,
          token_endpoint: `${issuer}/token`,
          response_types_supported: ["token"],
          subject_types_supported: ["public"],
          id_token_signing_alg_values_supported: [ALGORITHM],
        });
      case "/jwks":
        return json(response, 200, { keys: [publicKey] });
      case "/token": {
        const subject = url.searchParams.get("subject");
        if (!subject)
          return json(response, 400, { error: "Name a user: /token?subject=alice, or with &roles=Gateway.Admin" });
        const roles = url.searchParams.getAll("roles");
        return json(response, 200, {
          access_token: await token({ subject, roles }),
          token_type: "Bearer",
          expires_in: TOKEN_HOURS * 3600,
        });
      }
      default:
        return json(response, 404, { error: "Try /.well-known/openid-configuration, /jwks or /token?subject=alice" });
    }
  }

  return {
    issuer,
    token,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function newKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: crypto.randomUUID(), alg: ALGORITHM, use: "sig" };
}

function save(file: string, state: IssuerState): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(state), { mode: 0o600 });
}

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(value));
}
