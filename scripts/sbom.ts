/**
 * Writes the software bill of materials of what runs (CycloneDX, by npm) to `sbom.json`, or to the file that is named. npm's
 * `--omit dev` leaves out whatever a development dependency needs too, so npm is shown a lockfile that has none.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
}

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as { name: string };
const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as LockFile;
const packages = Object.entries(lock.packages).filter(([, { dev }]) => dev !== true);

const parent = mkdtempSync(join(tmpdir(), "sbom-"));
try {
  // npm gives the bill its folder's name.
  const folder = join(parent, manifest.name);
  mkdirSync(folder);
  write(join(folder, "package.json"), withoutDev(manifest));
  write(join(folder, "package-lock.json"), {
    ...lock,
    packages: Object.fromEntries(packages.map(([path, entry]) => [path, path === "" ? withoutDev(entry) : entry])),
  });
  const options = ["--package-lock-only", "--sbom-format=cyclonedx", "--sbom-type=application"];
  const bill = execFileSync("npm", ["sbom", ...options], { cwd: folder, encoding: "utf8", maxBuffer: 2 ** 26 });
  writeFileSync(process.argv[2] ?? "sbom.json", bill);
} finally {
  rmSync(parent, { recursive: true });
}

function withoutDev(about: object): object {
  return { ...about, devDependencies: undefined };
}

function write(file: string, value: unknown): void {
  writeFileSync(file, JSON.stringify(value));
}
