/** The benchmark's own programs, built as the gateway is: what runs beside it must not be slower for being compiled as it runs. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build as bundle } from "rolldown";
import gateway from "../rolldown.config.js";

const PROJECT = fileURLToPath(new URL("tsconfig.programs.json", import.meta.url));
const BUILT = fileURLToPath(new URL("data/programs", import.meta.url));

let isBuilt = false;

/** The file of the program of this name, such as `peers/mercurius`. */
export function builtProgram(name: string): string {
  if (!isBuilt) build();
  isBuilt = true;
  return join(BUILT, `${name}.js`);
}

const bundled = new Map<string, Promise<string>>();

/** The same for a program with the gateway in it, bundled as that is. */
export async function bundledProgram(name: string): Promise<string> {
  const made = bundled.get(name) ?? bundleProgram(name);
  bundled.set(name, made);
  return await made;
}

async function bundleProgram(name: string): Promise<string> {
  const dir = join(BUILT, name);
  const input = { [name]: fileURLToPath(new URL(`${name}.ts`, import.meta.url)) };
  await bundle({ ...gateway, input, output: { ...gateway.output, dir } });
  return join(dir, `${name}.js`);
}

/** Each file is moved to its place whole: another process may build the same, or run what it has built. */
function build(): void {
  mkdirSync(dirname(BUILT), { recursive: true });
  const made = mkdtempSync(`${BUILT}-`);
  try {
    compileTo(made);
    for (const file of readdirSync(made, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".js"),
    )) {
      mkdirSync(dirname(join(BUILT, file)), { recursive: true });
      renameSync(join(made, file), join(BUILT, file));
    }
  } finally {
    rmSync(made, { recursive: true });
  }
}

function compileTo(folder: string): void {
  const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [compiler, "-p", PROJECT, "--outDir", folder], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the benchmark's programs cannot be built: ${stdout}`);
}
