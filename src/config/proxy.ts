/**
 * The proxy that requests leave by, as the environment names it for every program. Microsoft's client reads the variables by itself,
 * in a way of its own; here they are read once, and it is told so that they mean the same to both.
 */
import { type HttpProxy, leaveBy } from "../outgoing.js";
import { isEncoded } from "./encoded.js";
import { ConfigError } from "./fault.js";
import type { Environment } from "./read.js";
import { Secret } from "./secret.js";

export interface ProxyConfig {
  /** May hold a password. */
  readonly url: Secret;
  readonly exempt: HttpProxy["exempt"];
}

/** In the order in which Microsoft's client has them, which takes any rather than none. */
const NAMES = ["HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"];

/** This machine; and its host, of which a managed identity may have its tokens. */
const NEAR = ["localhost", ".localhost", "127.0.0.1", "::1", "[::1]", "169.254.169.254"];

const NO_ADDRESS = "must be the address of an HTTP proxy, such as http://proxy.example:3128, or be unset";

/** Null: requests leave directly. Throws a `ConfigError`, without the value, for what is not a proxy's address. */
export function readProxy(env: Environment): ProxyConfig | null {
  const found = NAMES.map((name) => find(env, name)).find((variable) => variable !== undefined);
  const exempt = find(env, "NO_PROXY")?.value.split(",").map(readExempt).filter(Boolean) ?? [];
  if (found === undefined || exempt.includes("*")) return null;
  const url = URL.parse(found.value);
  if (url === null || !isAddress(url))
    throw new ConfigError("environment", [{ path: found.name, message: NO_ADDRESS }]);
  const identity = URL.parse(env.IDENTITY_ENDPOINT ?? "")?.hostname ?? "";
  const near = identity === "" ? NEAR : [...NEAR, identity];
  return { url: new Secret(url.href), exempt: [...new Set([...exempt, ...near])] };
}

/** To be called before the first request; `env` is the process' own, of which Microsoft's client has it. */
export function useProxy(proxy: ProxyConfig | null, env: NodeJS.ProcessEnv): void {
  for (const spelling of NAMES.flatMap(spellingsOf)) delete env[spelling];
  leaveBy(proxy ? { url: new URL(proxy.url.reveal()), exempt: proxy.exempt } : undefined);
  if (proxy === null) return;
  env.HTTPS_PROXY = proxy.url.reveal();
  env.NO_PROXY = proxy.exempt.join(",");
}

interface Variable {
  readonly name: string;
  readonly value: string;
}

/** In small letters first, as curl has it. */
function find(env: Environment, name: string): Variable | undefined {
  const variables = spellingsOf(name).map((spelling) => ({ name: spelling, value: env[spelling]?.trim() ?? "" }));
  return variables.find(({ value }) => value !== "");
}

function spellingsOf(name: string): string[] {
  return [name.toLowerCase(), name];
}

/** Of a host, whatever the port: it is compared without. */
function readExempt(text: string): string {
  return text
    .trim()
    .toLowerCase()
    .replace(/^\*\./, ".")
    .replace(/^([^:]+|\[.*\]):\d+$/, "$1");
}

function isAddress(url: URL): boolean {
  return /^https?:$/.test(url.protocol) && url.hostname !== "" && isEncoded(url);
}
