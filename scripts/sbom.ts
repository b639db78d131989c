/**
 * Writes the software bill of materials of what runs (CycloneDX, by npm) to `sbom.json`, or to the file that is named. npm's
 * `--omit dev` leaves out whatever a development dependency needs too, so npm is shown a lockfile that has none. What the bundle in
 * `dist`, or in the folder named second, has nothing of, although it is installed, is marked as excluded.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readBundled, THIRD_PARTY_FILE } from "./third-party.js";

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
}

interface Component {
  readonly name: string;
  readonly version: string;
}

const [file = "sbom.json", bundle = "dist"] = process.argv.slice(2);
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
  writeFileSync(file, `${JSON.stringify(withScopes(JSON.parse(bill)), null, 2)}\n`);
} finally {
  rmSync(parent, { recursive: true });
}

function withScopes(bill: { readonly components: readonly Component[] }): object {
  const bundled = new Set(readBundled(join(bundle, THIRD_PARTY_FILE)));
  const scopeOf = ({ name, version }: Component) => (bundled.has(`${name}@${version}`) ? "required" : "excluded");
  return { ...bill, components: bill.components.map((component) => ({ ...component, scope: scopeOf(component) })) };
}

function withoutDev(about: object): object {
  return { ...about, devDependencies: undefined };
}

function write(file: string, value: unknown): void {
  writeFileSync(file, JSON.stringify(value));
}
