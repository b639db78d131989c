/** What a run runs on, and on which core what runs. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";

export function describeMachine(postgresVersion: string | undefined): string {
  const { node, sqlite } = process.versions;
  const memory = Math.round(totalmem() / 2 ** 30);
  return [
    `${cpus()[0]?.model ?? "unknown processor"}, ${availableParallelism()} cores, ${memory} GB`,
    `${platform()} ${release()}`,
    `Node ${node}, SQLite ${sqlite}, ${postgresVersion ? `Postgres ${postgresVersion}` : "no Postgres"}`,
  ].join("; ");
}

/** The core of what is measured, and that of all else: load, service, issuer. */
const CORES = { gateway: 1, load: 0 } as const;

export const CAN_PIN =
  platform() === "linux" && availableParallelism() > 1 && spawnSync("taskset", ["--version"]).status === 0;

/** Moves this process, with all its threads, to the core of the load. */
export function pinLoad(): void {
  if (CAN_PIN) spawnSync("taskset", ["--all-tasks", "--cpu-list", "--pid", String(CORES.load), String(process.pid)]);
}

/** Lets it go back to any. */
export function unpin(): void {
  const all = `0-${cpus().length - 1}`;
  if (CAN_PIN) spawnSync("taskset", ["--all-tasks", "--cpu-list", "--pid", all, String(process.pid)]);
}

/** The command that starts Node on the core of the gateway. */
export function onGatewayCore(args: readonly string[]): [command: string, args: string[]] {
  return CAN_PIN
    ? ["taskset", ["--cpu-list", String(CORES.gateway), process.execPath, ...args]]
    : [process.execPath, [...args]];
}

/** Tells, when it is called, which share of a core this process has taken since. */
export function watchProcessor(): () => number {
  const before = process.cpuUsage();
  const begin = performance.now();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000 / (performance.now() - begin);
  };
}

/** The built program, as what is measured is what is shipped. */
export function builtFile(name: string): string {
  const file = new URL(`../dist/${name}`, import.meta.url);
  if (!existsSync(file)) throw new Error("the program is not built: npm run build");
  return file.pathname;
}
