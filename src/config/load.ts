import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { checkArchiveConfig, checkConfig, type Mode } from "./check.js";
import type { ArchiveConfig, Config } from "./config.js";
import { ConfigError } from "./fault.js";
import { readProxy } from "./proxy.js";
import { type Environment, type RawConfig, readConfig, readDefaults } from "./read.js";
import { readTraceExport } from "./trace-export.js";

/** The shipped `gateway.yaml`: above this file, be it a source or a part of the build. */
const SHIPPED = nearestAbove("gateway.yaml");

/** Reads and checks `file`, or the one that GATEWAY_CONFIG names, or the shipped one. Throws a `ConfigError`. */
export function loadConfig(file: string | undefined, env: Environment, mode: Mode): Config {
  const { raw, name } = readFrom(file, env);
  const config = checkConfig(raw, name, mode);
  return { ...config, tracing: { ...config.tracing, export: readTraceExport(env) }, proxy: readProxy(env) };
}

/** The same for who only reads the database: needs neither the service nor its keys. */
export function loadArchiveConfig(file: string | undefined, env: Environment): ArchiveConfig {
  const { raw, name } = readFrom(file, env);
  return checkArchiveConfig(raw, name);
}

function readFrom(file: string | undefined, env: Environment): { readonly raw: RawConfig; readonly name: string } {
  const path = file ?? (env.GATEWAY_CONFIG || SHIPPED);
  const shipped = readText(SHIPPED);
  // What is read as it is shipped leaves nothing out.
  if (path === SHIPPED) return { raw: readConfig(shipped, env, {}), name: "gateway.yaml" };
  return { raw: readConfig(readText(path), env, readDefaults(shipped)), name: path };
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
