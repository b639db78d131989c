import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { checkConfig, type Mode } from "./check.js";
import type { Config } from "./config.js";
import { ConfigError } from "./fault.js";
import { type Environment, readConfig, readDefaults } from "./read.js";
import { readTraceExport } from "./trace-export.js";

/** The shipped `gateway.yaml`: above this file, be it a source or a part of the build. */
const SHIPPED = nearestAbove("gateway.yaml");

/** Reads and checks `file`, or the one that GATEWAY_CONFIG names, or the shipped one. Throws a `ConfigError`. */
export function loadConfig(file: string | undefined, env: Environment, mode: Mode): Config {
  const path = file ?? (env.GATEWAY_CONFIG || SHIPPED);
  const shipped = readText(SHIPPED);
  // What is read as it is shipped leaves nothing out.
  const raw = path === SHIPPED ? readConfig(shipped, env, {}) : readConfig(readText(path), env, readDefaults(shipped));
  const config = checkConfig(raw, path === SHIPPED ? "gateway.yaml" : path, mode);
  return { ...config, tracing: { ...config.tracing, export: readTraceExport(env) } };
}

/** The configuration in force as YAML; a secret prints as hidden. */
export function printConfig(config: Config): string {
  return stringify(JSON.parse(JSON.stringify(config)));
}

function nearestAbove(name: string): string {
  for (let folder = new URL(".", import.meta.url); ; folder = new URL("..", folder)) {
    const file = fileURLToPath(new URL(name, folder));
    if (existsSync(file) || folder.pathname === "/") return file;
  }
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
