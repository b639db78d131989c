/**
 * The proxy that requests leave by, as the environment names it for every program. Node heeds it only if it is told to, and
 * Microsoft's client in a way of its own; here it is read once, and means the same to both.
 */
import http from "node:http";
import { StartError } from "../errors.js";
import { ConfigError } from "./fault.js";
import type { Environment } from "./read.js";

/** This machine; and its host, of which a managed identity has its tokens. */
const NEAR = ["localhost", ".localhost", "127.0.0.1", "::1", "[::1]", "169.254.169.254"];

const NO_ADDRESS = "must be the address of an HTTP proxy, such as http://proxy.example:3128, or be unset";

/**
 * Has all requests of the process leave by the proxy that `env` names, but those to what is near. To be called before the first one;
 * `env` is the process' own, as libraries read it, and has them all in the one spelling afterwards. Throws a `ConfigError`, without
 * the value, which may hold a password, for what is not a proxy's address.
 */
export function useProxy(env: NodeJS.ProcessEnv): void {
  const [secure, plain, any] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"].map((name) => find(env, name));
  // Microsoft's client takes any of them rather than none.
  const [forHttps, forHttp] = [secure ?? any ?? plain, plain ?? any];
  if (forHttps === undefined) return;
  const faults = [forHttps, ...(forHttp ? [forHttp] : [])].filter(({ value }) => !isAddress(value));
  if (faults.length > 0) {
    const names = new Set(faults.map(({ name }) => name));
    throw new ConfigError(
      "environment",
      [...names].map((path) => ({ path, message: NO_ADDRESS })),
    );
  }
  if (typeof http.setGlobalProxyFromEnv !== "function")
    throw new StartError(`To go by the proxy of ${forHttps.name} needs Node 24.14 or later: update Node, or unset it.`);
  const exempt = find(env, "NO_PROXY")?.value.split(",") ?? [];
  const settings = {
    HTTPS_PROXY: forHttps.value,
    HTTP_PROXY: forHttp?.value,
    NO_PROXY: [...new Set([...exempt.map((name) => name.trim()).filter(Boolean), ...NEAR])].join(","),
  };
  for (const [name, value] of Object.entries(settings))
    if (value !== undefined) for (const spelling of spellingsOf(name)) env[spelling] = value;
  http.setGlobalProxyFromEnv(env);
}

interface Variable {
  readonly name: string;
  readonly value: string;
}

/** In small letters first, as curl and Node have it. */
function find(env: Environment, name: string): Variable | undefined {
  const variables = spellingsOf(name).map((spelling) => ({ name: spelling, value: env[spelling]?.trim() ?? "" }));
  return variables.find(({ value }) => value !== "");
}

function spellingsOf(name: string): string[] {
  return [name.toLowerCase(), name];
}

function isAddress(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && ["http:", "https:"].includes(url.protocol) && url.hostname !== "";
}
