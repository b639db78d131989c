import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { checkConfig, type Mode } from "./check.js";
import type { Config } from "./config.js";
import { ConfigError } from "./fault.js";
import { type Environment, readConfig, readDefaults } from "./read.js";

/** The shipped `gateway.yaml`, beside the sources and beside the build. */
const SHIPPED = fileURLToPath(new URL("../../gateway.yaml", import.meta.url));

/** Reads and checks `file`, or the one that GATEWAY_CONFIG names, or the shipped one. Throws a `ConfigError`. */
export function loadConfig(file: string | undefined, env: Environment, mode: Mode): Config {
  const path = file ?? (env.GATEWAY_CONFIG || SHIPPED);
  const raw = readConfig(readText(path), env, readDefaults(readText(SHIPPED)));
  return checkConfig(raw, path === SHIPPED ? "gateway.yaml" : path, mode);
}

/** The configuration in force as YAML; a secret prints as hidden. */
export function printConfig(config: Config): string {
  return stringify(JSON.parse(JSON.stringify(config)));
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const cure = "name another with --config FILE or GATEWAY_CONFIG";
    throw new ConfigError(path, [{ path: "", message: `cannot be read (${code ?? "unknown error"}); ${cure}` }]);
  }
}
