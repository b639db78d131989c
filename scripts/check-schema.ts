/**
 * Compares the schema with the released one, in schema/released/, and fails when somebody who uses that would break. With
 * `--release` the schema becomes the released one, as of the version in package.json.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { judge, type Variants } from "./schema/gate.js";

const RELEASED = "schema/released";
const HEAD = /^# Released as (\d+\.\d+\.\d+)\.\n/;
const CURE = `Keep what is released, or deprecate it first, as docs/schema.md says. A new major version (before 1.0: minor) in
package.json may break it, too.`;

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
const current = readVariants("schema");
const isRelease = process.argv.includes("--release");

const released = existsSync(RELEASED) ? readVariants(RELEASED) : undefined;
const releasedVersion = HEAD.exec(released?.schema ?? "")?.[1];
if (released && releasedVersion) await compare(released, releasedVersion);
else if (!isRelease) fail(`${RELEASED} has no released schema to compare with: npm run release:schema makes one.`);
if (isRelease && process.exitCode === undefined) release();

async function compare(released: Variants, releasedVersion: string): Promise<void> {
  const { refused, allowed } = await judge({ released, current, releasedVersion, version, today: Date.now() });
  const tell = (title: string, lines: readonly string[]) =>
    lines.length > 0 && process.stdout.write([title, ...lines].join("\n  ").concat("\n"));
  tell(`Since ${releasedVersion}, the schema changes:`, allowed);
  tell(`Since ${releasedVersion}, the schema may not change so:`, refused);
  if (refused.length === 0) return;
  fail(CURE);
}

function fail(why: string): void {
  process.stderr.write(`${why}\n`);
  process.exitCode = 1;
}

function release(): void {
  mkdirSync(RELEASED, { recursive: true });
  for (const [name, sdl] of Object.entries(current))
    writeFileSync(`${RELEASED}/${name}.graphql`, `# Released as ${version}.\n${sdl}`);
}

function readVariants(folder: string): Variants {
  const read = (name: string) => readFileSync(`${folder}/${name}.graphql`, "utf8");
  return { schema: read("schema"), public: read("public") };
}
