/**
 * Writes the folder that is published as an Azure Functions app, to `dist-functions` or where it is told: the bundled program,
 * `host.json`, and a `package.json` that tells the platform's worker where to begin. There is nothing to install in it.
 */
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "rolldown";
import program from "../rolldown.config.js";

const folder = process.argv[2] ?? "dist-functions";
const { name, version, description, license } = JSON.parse(readFileSync("package.json", "utf8")) as Record<
  string,
  string
>;

rmSync(folder, { recursive: true, force: true });
await build({
  ...program,
  input: { "azure-functions": "src/hosts/azure-functions.ts" },
  // Which only the worker has.
  external: [...program.external, "@azure/functions-core"],
  output: { ...program.output, dir: folder },
});
for (const file of ["gateway.yaml", "LICENSE"]) cpSync(file, join(folder, file));
cpSync("deploy/azure-functions", folder, { recursive: true });
write("package.json", {
  name,
  version,
  description,
  license,
  private: true,
  type: "module",
  main: "azure-functions.js",
});
execFileSync(process.execPath, ["--import", "tsx", "scripts/sbom.ts", join(folder, "sbom.json"), folder]);

function write(file: string, value: unknown): void {
  writeFileSync(join(folder, file), `${JSON.stringify(value, null, 2)}\n`);
}
