import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readBundled, THIRD_PARTY_FILE } from "../../scripts/third-party.js";
import { Operator } from "../fixtures/operator.js";
import { IssueAccessTokenDocument } from "../generated/graphql.js";
import { build, makeReadOnly, type Stage } from "./dockerfile.js";

/** It installs everything anew, which takes a minute. */
const WHY_SKIPPED = process.env.TEST_IMAGE ? "" : " (left out: TEST_IMAGE is not set)";
/** `nonroot` of the base image. Only root can be somebody else. */
const NONROOT = process.getuid?.() === 0 ? 65532 : undefined;
/** What the gateway adds to its base image; docs/guides/container.md has the figure. */
const MOST_BYTES = 6_500_000;
const NODE_OF_THE_IMAGE = "/nodejs/bin/node";

describe.skipIf(WHY_SKIPPED !== "")(`the image, its steps run in folders${WHY_SKIPPED}`, () => {
  let parent: string;
  let image: Stage;
  let operator: Operator;
  beforeAll(async () => {
    operator = await Operator.start("sqlite");
    parent = mkdtempSync(join(tmpdir(), "gateway-image-"));
    chmodSync(parent, 0o755);
    // The base image has Node 24 as its only one.
    const bin = join(parent, "bin");
    mkdirSync(bin);
    symlinkSync(process.execPath, join(bin, "node"));
    const path = [bin, ...(process.env.PATH ?? "").split(delimiter).filter(isOfTheSystem)].join(delimiter);
    // How this machine reaches the registry stays; what npm and the test runner have set goes.
    const kept = Object.entries(process.env).filter(
      ([name]) => !/^(npm_|VITEST|NODE_ENV|NODE_OPTIONS|INIT_CWD)/.test(name),
    );
    const env = { ...Object.fromEntries(kept), PATH: path, npm_config_prefer_offline: "true" };
    image = build({ context: ".", into: join(parent, "stages"), user: NONROOT, env });
    makeReadOnly(image);
  }, 1_800_000);
  afterAll(async () => {
    await operator?.close();
    spawnSync("chmod", ["-R", "u+w", parent]);
    rmSync(parent, { recursive: true });
  }, 300_000);

  /** Words of an instruction, with the places that they have here. */
  const place = (word: string) => (word.startsWith("/app/") ? join(image.folder, word) : word);
  const run = (words: readonly string[], env: Readonly<Record<string, string>>): ChildProcess => {
    const [program = "", ...args] = words.map(place);
    expect(program).toBe(NODE_OF_THE_IMAGE);
    return spawn(process.execPath, args, {
      cwd: join(image.folder, image.workdir),
      env: { ...image.env, ...env },
      ...(NONROOT !== undefined && { uid: NONROOT, gid: NONROOT }),
    });
  };
  const codeOf = async (child: ChildProcess) => (await once(child, "close"))[0] as number | null;
  const files = () => readdirSync(image.folder, { recursive: true, encoding: "utf8" }).sort();

  it("adds no more to its base image than is documented", () => {
    const sizes = files().map((file) => statSync(join(image.folder, file)));
    const bytes = sizes.filter((stat) => stat.isFile()).reduce((sum, { size }) => sum + size, 0);
    expect(bytes).toBeGreaterThan(1_000_000);
    expect(bytes).toBeLessThan(MOST_BYTES);
  });

  it("holds the program, its settings, its licences and its bill of materials, and no more", () => {
    expect(readdirSync(join(image.folder, "app")).sort()).toEqual(
      ["LICENSE", "data", "dist", "gateway.yaml", "package.json", "sbom.json"].sort(),
    );
    const bundled = readBundled(join(image.folder, "app/dist", THIRD_PARTY_FILE));
    const bill = JSON.parse(readFileSync(join(image.folder, "app/sbom.json"), "utf8")) as {
      components: { name: string; version: string; scope: string }[];
    };
    const required = bill.components.filter(({ scope }) => scope === "required");
    expect(required.map(({ name, version }) => `${name}@${version}`).sort()).toEqual(bundled.sort());
  });

  it("serves as a user without rights on a read-only tree, is healthy, and ends in peace", async () => {
    const before = files();
    const { DATABASE_URL: _, TOKEN_CACHE_KEY: __, AUDIT_KEY: ___, ...env } = operator.env;
    const gateway = run([...image.entrypoint, ...image.command], env);
    let output = "";
    for (const stream of [gateway.stdout, gateway.stderr]) stream?.on("data", (chunk) => (output += chunk));
    const ended = codeOf(gateway);
    await expect.poll(() => output, { timeout: 15_000 }).toMatch(/"msg":"listening"|rror/);
    const { url, adminUrl } = JSON.parse(output.split("\n").find((line) => line.includes("listening")) ?? output);
    expect(url).toMatch(/^http:\/\/0\.0\.0\.0:/);

    const check = () => codeOf(run(image.healthcheck, { ...env, ADMIN_PORT: new URL(adminUrl).port }));
    expect(await check()).toBe(0);
    const headers = {
      "content-type": "application/json",
      authorization: `Bearer ${await operator.issuer.sign("ivy")}`,
    };
    const body = JSON.stringify({ query: IssueAccessTokenDocument.toString(), variables: { scopes: ["CHAT"] } });
    const reply = await fetch(`http://127.0.0.1:${new URL(url).port}/graphql`, { method: "POST", headers, body });
    expect(await reply.json()).toMatchObject({ data: { issueAccessToken: { userErrors: [], accessToken: {} } } });

    gateway.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(await check()).toBe(1);
    const written = files().filter((file) => !before.includes(file));
    expect(written).toContain("app/data/gateway.db");
    expect(written.filter((file) => !file.startsWith("app/data/"))).toEqual([]);
  });
});

/** Not what npm has put first for this project. */
function isOfTheSystem(folder: string): boolean {
  return !folder.includes("node_modules");
}
