/**
 * Writes what is built as a package for npm, into the folder that is named or into this one, and prints the file's name. Its
 * package.json names no dependencies: the program is bundled and the client has none, so an app gets the client and nothing else.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** What only matters to who builds it. */
const OURS = ["scripts", "dependencies", "devDependencies", "overrides", "allowScripts"];

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as { readonly files: readonly string[] };
const published = Object.fromEntries(Object.entries(manifest).filter(([name]) => !OURS.includes(name)));
const destination = resolve(process.argv[2] ?? ".");

const folder = mkdtempSync(join(tmpdir(), "pack-"));
try {
  for (const name of [...manifest.files, "README.md", "LICENSE"]) cpSync(name, join(folder, name), { recursive: true });
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(published, null, 2)}\n`);
  execFileSync("npm", ["pack", "--silent", "--pack-destination", destination], { cwd: folder, stdio: "inherit" });
} finally {
  rmSync(folder, { recursive: true });
}
