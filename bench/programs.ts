/** The benchmark's own programs, built as the gateway is: what runs beside it must not be slower for being compiled as it runs. */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PROJECT = fileURLToPath(new URL("tsconfig.programs.json", import.meta.url));
const BUILT = fileURLToPath(new URL("data/programs", import.meta.url));

let isBuilt = false;

/** The file of the program of this name, such as `peers/mercurius`. */
export function builtProgram(name: string): string {
  if (!isBuilt) build();
  isBuilt = true;
  return join(BUILT, `${name}.js`);
}

function build(): void {
  const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [compiler, "-p", PROJECT], { encoding: "utf8" });
  if (status !== 0) throw new Error(`the benchmark's programs cannot be built: ${stdout}`);
}
