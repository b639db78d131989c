/** The configuration of a gateway in Azure Functions: `gateway.yaml` and the app's settings, but for what the place decides. */
import type { Config } from "../config/config.js";
import { ConfigError } from "../config/fault.js";
import { loadConfig } from "../config/load.js";
import type { Environment } from "../config/read.js";
import { StartError } from "../errors.js";

type AuthLevel = "anonymous" | "function";

const LOOPBACK = "127.0.0.1";
/** To whose list App Service's front end adds the client's address, always. */
const FRONT_END_HEADER = "x-forwarded-for";
const EACH_MINUTE = "0 * * * * *";
/** What the platform leaves in an app setting when it may not, or cannot, read the secret that is meant. */
const UNRESOLVED = /^@Microsoft\.KeyVault\(/i;

/** Who calls has to have a key of the app beside a token, if HTTP_AUTH_LEVEL says so, or says what cannot be understood. */
export function authLevelOf({ HTTP_AUTH_LEVEL: level }: Environment): AuthLevel {
  return level === undefined || level === "" || level === "anonymous" ? "anonymous" : "function";
}

/** When an instance is woken for work, as the platform's timer trigger reads it (NCRONTAB). */
export function workScheduleOf({ WORK_SCHEDULE: schedule }: Environment): string {
  return schedule || EACH_MINUTE;
}

/** Throws a `ConfigError` or a `StartError`. */
export function configOf(env: Environment): Config {
  const { HTTP_AUTH_LEVEL: level } = env;
  if (level && level !== "anonymous" && level !== "function")
    throw new StartError("HTTP_AUTH_LEVEL is anonymous or function.");
  const CLIENT_ADDRESS_HEADER = env.TRUSTED_PROXY ? FRONT_END_HEADER : env.CLIENT_ADDRESS_HEADER;
  const config = load({ ...env, CLIENT_ADDRESS_HEADER, PUBLIC_URL: env.PUBLIC_URL || addressOf(env) });
  const { store, server } = config;
  if (store.kind === "sqlite" && !isOnDevelopersMachine(env))
    throw new StartError(
      "store.url names an SQLite file, which an instance of Azure Functions loses when it ends and shares with no other: set DATABASE_URL=postgres://….",
    );
  if (server.proxies.clientCertificateHeader !== null)
    throw new StartError(
      "server.proxies.clientCertificateHeader cannot be used in Azure Functions, whose front end lets clients write such headers: set it to null, and use DPoP to bind tokens to their senders.",
    );
  const here = { host: LOOPBACK, port: 0 };
  return { ...config, server: { ...server, ...here, admin: here, proxies: proxiesOf(server.proxies, env) } };
}

function load(env: Environment): Config {
  try {
    return loadConfig(undefined, env, "production");
  } catch (error) {
    const unresolved = Object.keys(env).filter((name) => UNRESOLVED.test(env[name] ?? ""));
    if (!(error instanceof ConfigError) || unresolved.length === 0) throw error;
    throw new StartError(
      `The platform has put no secret in the place of these references to a Key Vault: ${unresolved.join(", ")}. Let the app's identity read them (role Key Vault Secrets User), and look at their addresses; then restart the app.`,
      { cause: error },
    );
  }
}

/** Where clients find the app, unless PUBLIC_URL says otherwise. */
function addressOf(env: Environment): string {
  const { WEBSITE_HOSTNAME: host } = env;
  if (!host) return "";
  return isOnDevelopersMachine(env) ? `http://${host}` : `https://${host}`;
}

/** Requests come from this process. Where there is no front end, anybody may have written the header. */
function proxiesOf(proxies: Config["server"]["proxies"], env: Environment): Config["server"]["proxies"] {
  if (!env.WEBSITE_SITE_NAME || isOnDevelopersMachine(env)) return { ...proxies, clientAddressHeader: null };
  return { ...proxies, addresses: [LOOPBACK, ...proxies.addresses], clientAddressHeader: FRONT_END_HEADER };
}

/** As `func start` sets it. */
function isOnDevelopersMachine({ AZURE_FUNCTIONS_ENVIRONMENT: name }: Environment): boolean {
  return name === "Development";
}
