/** The gateway on embedded parts: whatever the environment does not name is started here, and lives in one data folder. */
import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/config.js";
import { loadConfig } from "../config/load.js";
import { useProxy } from "../config/proxy.js";
import type { Environment } from "../config/read.js";
import { type Emulator, startEmulator } from "../emulator/emulator.js";
import { StartError } from "../errors.js";
import { type Gateway, startGateway } from "../gateway.js";
import type { Logger } from "../observe/logger.js";
import { explorerRoutes } from "./explorer.js";
import { type DevIssuer, startIssuer } from "./issuer.js";
import { PHONE_PATH, phoneRoutes } from "./phone.js";
import { readPort, startOnPort } from "./port.js";

const DATA = "./data";
const AUDIENCE = "acs-token-gateway";
const EMULATOR_PORT = 4002;

const MEMBER = { subject: "alice" };
const ADMIN = { subject: "ada", roles: ["Gateway.Admin"] };

interface DevOptions {
  readonly configFile: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly createLogger: (config: Config) => Promise<Logger>;
  readonly standardOutput: NodeJS.WritableStream;
}

export interface DevGateway {
  /** For the terminal: what runs where, tokens, and a request to paste. */
  readonly welcome: string;
  close(): Promise<void>;
}

/** Throws a `ConfigError` or a `StartError`. */
export async function startDev({ configFile, env, createLogger, standardOutput }: DevOptions): Promise<DevGateway> {
  makeDataFolder();
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const issuer = env.OIDC_ISSUER ? undefined : await startEmbeddedIssuer(env);
    if (issuer) closers.push(() => issuer.close());
    const emulator = env.ACS_CONNECTION_STRING || env.ACS_ENDPOINT ? undefined : await startEmbeddedEmulator(env);
    if (emulator) closers.push(() => emulator.close());
    const config = loadDevConfig(configFile, env, issuer, emulator);
    useProxy(config.proxy, env);
    const explorer = issuer && explorerRoutes(() => issuer.token(ADMIN));
    const phone = issuer && phoneRoutes(issuer.issuer);
    const routes = new Map([...(explorer ?? []), ...(phone ?? [])]);
    const gateway = await startGateway(config, { logger: await createLogger(config), standardOutput, routes });
    closers.push(() => gateway.close());
    const has = { explorer: explorer !== undefined, phone: phone !== undefined };
    return { welcome: await writeWelcome({ gateway, issuer, emulator, config, has }), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function makeDataFolder(): void {
  try {
    mkdirSync(DATA, { recursive: true });
    accessSync(DATA, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const cure = "start in a folder that you can write to, with nothing but a folder named data in it";
    throw new StartError(`The folder ${DATA} cannot be written to (${code ?? "unknown error"}): ${cure}.`, {
      cause: error,
    });
  }
}

async function startEmbeddedIssuer(env: Environment): Promise<DevIssuer> {
  const audience = env.OIDC_AUDIENCE || AUDIENCE;
  const port = readPort(env, "ISSUER_PORT");
  return await startIssuer({ file: join(DATA, "issuer.json"), port, audience });
}

async function startEmbeddedEmulator(env: Environment): Promise<Emulator> {
  const file = join(DATA, "emulator.db");
  const preferred = readPort(env, "EMULATOR_PORT") ?? EMULATOR_PORT;
  const choice = { remembered: undefined, preferred, name: "the emulator" };
  try {
    return await startOnPort(choice, (port) =>
      startEmulator({ host: "127.0.0.1", port, file, latency: "none", rateLimits: false }),
    );
  } catch (error) {
    const why = error instanceof Error ? error.message : "unknown error";
    const cure = "delete it, or the whole folder, to start afresh";
    throw new StartError(`The emulator cannot start with ${file} (${why}): ${cure}.`, { cause: error });
  }
}

/** What the environment does not name is embedded. */
function loadDevConfig(
  file: string | undefined,
  env: Environment,
  issuer: DevIssuer | undefined,
  emulator: Emulator | undefined,
): Config {
  const embedded = {
    LOG_LEVEL: "warn",
    ...(issuer && { OIDC_ISSUER: issuer.issuer, OIDC_AUDIENCE: AUDIENCE }),
    ...(emulator && { ACS_CONNECTION_STRING: emulator.connectionString }),
  };
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ""));
  const config = loadConfig(file, { ...embedded, ...given }, "development");
  return { ...config, graphql: { ...config.graphql, introspection: true, explorer: true } };
}

interface Running {
  readonly gateway: Gateway;
  readonly issuer: DevIssuer | undefined;
  readonly emulator: Emulator | undefined;
  readonly config: Config;
  readonly has: { readonly explorer: boolean; readonly phone: boolean };
}

async function writeWelcome({ gateway, issuer, emulator, config, has }: Running): Promise<string> {
  const url = fromHere(gateway.url);
  const where = emulator ? "nothing leaves this machine" : "the Communication Services resource is a real one";
  return `
ACS Token Gateway, development mode. Nothing here is secure; ${where}.

  GraphQL API   ${url}/graphql
  Explorer      ${has.explorer ? `${url}/` : "none: it needs the embedded issuer and the development dependencies"}
  Phone example ${has.phone ? `${url}${PHONE_PATH}` : "none: it needs the embedded issuer, the folder examples and the built client (npm run build)"}
  Admin         ${gateway.adminUrl}/health/ready and /metrics
  OpenID issuer ${issuer ? `${issuer.issuer}   (a token for anyone: ${issuer.issuer}/token?subject=bob)` : config.issuers.map((own) => own.issuer).join(", ")}
  Service       ${emulator ? `${emulator.endpoint}   (emulator; its controls: ${emulator.endpoint}_emulator)` : config.acs.endpoint}
  Data          ${DATA}   (delete it to start afresh)

${await writeTokens(url, issuer)}
`;
}

const FIRST_REQUEST =
  "mutation { issueAccessToken(input: { scopes: [CHAT, VOIP] }) { accessToken { token expiresOn refreshAfter identity { communicationUserId } } userErrors { code message } } }";

/** What listens on every address is named by one that the explorer answers on. */
function fromHere(url: string): string {
  return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
}

async function writeTokens(url: string, issuer: DevIssuer | undefined): Promise<string> {
  const curl = (token: string) =>
    `curl -s ${url}/graphql -H 'content-type: application/json' -H 'authorization: Bearer ${token}' -d '{"query":"${FIRST_REQUEST}"}'`;
  if (issuer === undefined) return `Get a token from your issuer and put it in:\n\n${curl("<token>")}`;
  const member = await issuer.token(MEMBER);
  return `A member's token (${MEMBER.subject}), good for 12 hours:
${member}

An admin's token (${ADMIN.subject}):
${await issuer.token(ADMIN)}

Paste this for a communication token:

${curl(member)}`;
}
