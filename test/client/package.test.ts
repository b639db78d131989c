import { execFile, execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { buildSchema, parse, validate } from "graphql";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Rig } from "../fixtures/rig.js";
import { bundle } from "./surroundings.js";

const TSC = resolve("node_modules/typescript/bin/tsc");

let folder: string;
/** An app's project that has the package and nothing else. */
let app: string;
let tarball: string;
let rig: Rig;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-package-"));
  const name = execFileSync(process.execPath, ["--import", "tsx", "scripts/pack.ts", folder], { encoding: "utf8" });
  tarball = join(folder, name.trim());
  app = join(folder, "app");
  mkdirSync(app);
  writeFileSync(join(app, "package.json"), '{ "name": "app", "version": "1.0.0", "type": "module" }');
  execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], { cwd: app });
  rig = await Rig.start();
});
afterAll(async () => {
  await rig.close();
  rmSync(folder, { recursive: true });
});

/** Without holding up the gateway, which is in this process. */
async function run(node: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(node, args, { cwd: app });
  return stdout;
}

/** The one that is first in the path without this project's is another version, on most machines. */
function nodes(): [string, string][] {
  const path = (process.env.PATH ?? "").split(delimiter).filter((place) => !place.includes("node_modules"));
  const others = path.map((place) => join(place, "node")).filter(existsSync);
  const [system] = others;
  return [
    ["the project's Node", process.execPath],
    ...(system ? [["the system's Node", system] as [string, string]] : []),
  ];
}

function write(name: string, text: string): string {
  const file = join(app, name);
  writeFileSync(file, text);
  return file;
}

describe("the package", () => {
  it("has what is built, the schema and the shipped configuration, and is small", () => {
    const files = execFileSync("tar", ["-tzf", tarball], { encoding: "utf8" }).trim().split("\n");
    const strange = files.filter(
      (file) =>
        !/^package\/(dist\/[\w-]+(\.min)?\.js|dist\/THIRD_PARTY_LICENSES\.txt|dist\/client\/[\w-]+(\.d)?\.[jt]s|schema\/[\w./-]+\.(graphql|json)|gateway\.yaml|README\.md|LICENSE|package\.json)$/.test(
          file,
        ),
    );
    expect(strange).toEqual([]);
    expect(files).toEqual(expect.arrayContaining(["package/dist/main.js", "package/dist/client/client.js"]));
    expect(statSync(tarball).size).toBeLessThan(1_500_000);
  });

  it("says nothing of the machine that it was made on", () => {
    const packed = join(app, "node_modules/acs-token-gateway");
    const files = readdirSync(packed, { recursive: true, encoding: "utf8" }).map((file) => join(packed, file));
    const telling = files.filter(
      (file) => statSync(file).isFile() && readFileSync(file, "utf8").includes(process.cwd()),
    );
    expect(telling).toEqual([]);
  });

  it("brings no other package along, and runs nothing when it is installed", () => {
    const installed = readdirSync(join(app, "node_modules")).filter((name) => !name.startsWith("."));
    expect(installed).toEqual(["acs-token-gateway"]);
    const manifest = JSON.parse(readFileSync(join(app, "node_modules/acs-token-gateway/package.json"), "utf8"));
    expect(manifest).not.toHaveProperty("scripts");
  });

  it("has the program", () => {
    const bin = join(app, "node_modules/.bin/acs-token-gateway");
    const env = {
      PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
      OIDC_ISSUER: "https://issuer.example.com",
      OIDC_AUDIENCE: "gateway",
      ACS_ENDPOINT: "https://contoso.communication.azure.com",
    };
    expect(execFileSync(bin, ["config", "check"], { cwd: app, env, encoding: "utf8" })).toContain("contoso");
  });
});

describe("what an app takes from the package", () => {
  it.each(nodes())("is the client, which gets a token, and files by their paths, in %s", async (_, node) => {
    const file = write(
      "take.mjs",
      `import { createTokenRefresher, TokenRefreshError } from "acs-token-gateway/client";
       import { readFileSync } from "node:fs";
       import { createRequire } from "node:module";
       const { resolve } = createRequire(import.meta.url);
       const read = (name) => readFileSync(resolve("acs-token-gateway/" + name), "utf8");
       const [url, token] = process.argv.slice(2);
       const refresh = createTokenRefresher({ url, getCallerToken: () => token, scopes: ["CHAT"] });
       const strangers = createTokenRefresher({ url, getCallerToken: () => "a.b.c", scopes: ["CHAT"] });
       console.log(JSON.stringify({
         token: (await refresh()).token,
         refused: await strangers().catch((error) => error instanceof TokenRefreshError && error.code),
         schema: read("schema/schema.graphql"),
         operations: ["mobile", "dashboard", "fragments"].map((name) => read("schema/operations/" + name + ".graphql")),
         manifest: JSON.parse(read("schema/persisted-documents.json")),
         version: JSON.parse(read("package.json")).version,
         inside: await import("acs-token-gateway/dist/main.js").catch(({ code }) => code),
       }));`,
    );
    const { token } = await rig.member();
    const taken = JSON.parse(await run(node, [file, `${rig.gateway.url}/graphql`, token]));
    expect(await rig.isActive(taken.token)).toBe(true);
    expect(taken).toMatchObject({ refused: "UNAUTHENTICATED", inside: "ERR_PACKAGE_PATH_NOT_EXPORTED" });
    expect(validate(buildSchema(taken.schema), parse(taken.operations.join("\n")))).toEqual([]);
    expect(taken.manifest.operations.length).toBeGreaterThan(10);
    expect(taken.version).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it.each([
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ])("is typed, as modules %s resolved by %s see it", (module, moduleResolution) => {
    const file = write(
      "typed.ts",
      `import {
         type Fetch,
         type RefreshedToken,
         TokenRefreshError,
         type TokenRefresher,
         createTokenRefresher,
       } from "acs-token-gateway/client";
       const own: Fetch = (url, init) => fetch(url, init);
       const refresh: TokenRefresher = createTokenRefresher({
         url: "/graphql",
         getCallerToken: async ({ forceRefresh, signal }) => (forceRefresh && !signal.aborted ? "a" : "b"),
         scopes: ["CHAT", "VOIP"],
         fetch,
         onRetry: (error: TokenRefreshError, waitSeconds: number) => void [error.code, waitSeconds],
       });
       createTokenRefresher({ url: "/graphql", getCallerToken: () => "a", scopes: ["CHAT"], fetch: own });
       export const token: Promise<RefreshedToken> = refresh(new AbortController().signal);
       // @ts-expect-error There is no such scope.
       createTokenRefresher({ url: "/graphql", getCallerToken: () => "a", scopes: ["FLY"] });
       // @ts-expect-error There has to be a way to a caller token.
       createTokenRefresher({ url: "/graphql", scopes: ["CHAT"] });
      `,
    );
    const options = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "es2022"];
    const types = ["--lib", "es2022,dom", "--types", "", "--module", module, "--moduleResolution", moduleResolution];
    // Its output names what is wrong, if anything.
    execFileSync(process.execPath, [TSC, ...options, ...types, file], { cwd: app, stdio: "inherit" });
  });
});

it("the client is under 3 KB, minified and compressed", async () => {
  expect(gzipSync(await bundle("es", true), { level: 9 }).length).toBeLessThan(3000);
});
