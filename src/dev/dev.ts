/** The gateway on embedded parts: whatever the environment does not name is started here, and lives in one data folder. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/config.js";
import { loadConfig } from "../config/load.js";
import type { Environment } from "../config/read.js";
import { type Emulator, startEmulator } from "../emulator/emulator.js";
import { type Gateway, startGateway } from "../gateway.js";
import type { Logger } from "../observe/logger.js";
import { explorerRoutes } from "./explorer.js";
import { type DevIssuer, startIssuer } from "./issuer.js";
import { choosePort } from "./port.js";

const DATA = "./data";
const AUDIENCE = "acs-token-gateway";
const ISSUER_PORT = 4001;
const EMULATOR_PORT = 4002;

const MEMBER = { subject: "alice" };
const ADMIN = { subject: "ada", roles: ["Gateway.Admin"] };

interface DevOptions {
  readonly configFile: string | undefined;
  readonly env: Environment;
  readonly createLogger: (config: Config) => Logger;
}

export interface DevGateway {
  /** For the terminal: what runs where, tokens, and a request to paste. */
  readonly welcome: string;
  readonly gateway: Gateway;
  close(): Promise<void>;
}

/** Throws a `ConfigError` or a `StartError`. */
export async function startDev({ configFile, env, createLogger }: DevOptions): Promise<DevGateway> {
  mkdirSync(DATA, { recursive: true });
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const issuer = await startIssuer({
      file: join(DATA, "issuer.json"),
      preferredPort: ISSUER_PORT,
      audience: env.OIDC_AUDIENCE || AUDIENCE,
    });
    closers.push(() => issuer.close());
    const hasOwnResource = Boolean(env.ACS_CONNECTION_STRING || env.ACS_ENDPOINT);
    const emulator = hasOwnResource ? undefined : await startEmbeddedEmulator();
    if (emulator) closers.push(() => emulator.close());
    const config = loadDevConfig(configFile, env, issuer, emulator);
    const gateway = await startGateway(config, {
      logger: createLogger(config),
      routes: explorerRoutes(() => issuer.token(ADMIN)),
    });
    closers.push(() => gateway.close());
    return { welcome: await writeWelcome({ gateway, issuer, emulator, config }), gateway, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startEmbeddedEmulator(): Promise<Emulator> {
  const port = await choosePort({ remembered: undefined, preferred: EMULATOR_PORT }, "the emulator");
  return await startEmulator({
    host: "127.0.0.1",
    port,
    file: join(DATA, "emulator.db"),
    latency: "none",
    rateLimits: false,
  });
}

function loadDevConfig(
  file: string | undefined,
  env: Environment,
  issuer: DevIssuer,
  emulator: Emulator | undefined,
): Config {
  const embedded = {
    OIDC_ISSUER: issuer.issuer,
    OIDC_AUDIENCE: AUDIENCE,
    LOG_LEVEL: "warn",
    ...(emulator && { ACS_CONNECTION_STRING: emulator.connectionString }),
  };
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ""));
  const config = loadConfig(file, { ...embedded, ...given }, "development");
  return { ...config, graphql: { introspection: true, explorer: true } };
}

interface Running {
  readonly gateway: Gateway;
  readonly issuer: DevIssuer;
  readonly emulator: Emulator | undefined;
  readonly config: Config;
}

async function writeWelcome({ gateway, issuer, emulator, config }: Running): Promise<string> {
  const member = await issuer.token(MEMBER);
  const query =
    "mutation { issueAccessToken(input: { scopes: [CHAT, VOIP] }) { accessToken { token expiresOn refreshAfter identity { communicationUserId } } userErrors { code message } } }";
  return `
ACS Token Gateway, development mode. Nothing here is secure; nothing leaves this machine.

  GraphQL API   ${gateway.url}/graphql
  Explorer      ${gateway.url}/
  Admin         ${gateway.adminUrl}/health/ready and /metrics
  OpenID issuer ${issuer.issuer}   (a token for anyone: ${issuer.issuer}/token?subject=bob)
  Service       ${emulator ? `${emulator.endpoint}   (emulator; its controls: ${emulator.endpoint}_emulator)` : config.acs.endpoint}
  Data          ${DATA}   (delete it to start afresh)

A member's token (${MEMBER.subject}), good for 12 hours:
${member}

An admin's token (${ADMIN.subject}):
${await issuer.token(ADMIN)}

Paste this for a communication token:

curl -s ${gateway.url}/graphql -H 'content-type: application/json' -H 'authorization: Bearer ${member}' -d '{"query":"${query}"}'
`;
}
