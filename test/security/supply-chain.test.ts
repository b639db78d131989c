import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { homedir, hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readBundled, THIRD_PARTY_FILE } from "../../scripts/third-party.js";
import { Cli } from "../fixtures/cli.js";

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly overrides: Readonly<Record<string, string>>;
  /** What npm may run at installation. */
  readonly allowScripts: Readonly<Record<string, boolean>>;
  readonly scripts: Readonly<Record<string, string>>;
}

interface LockEntry {
  readonly version: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
}

interface Component {
  readonly name: string;
  readonly version: string;
  readonly scope?: string;
  readonly hashes: readonly { readonly alg: string }[];
}

interface Bill {
  readonly bomFormat: string;
  readonly metadata: { readonly component: { readonly name: string } };
  readonly components: readonly Component[];
}

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;
const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as { packages: Record<string, LockEntry> };
const installed = Object.entries(lock.packages).filter(([path]) => path !== "");
const atRunTime = installed.filter(([, { dev }]) => dev !== true);
const nameOf = (path: string) => path.split("node_modules/").at(-1) ?? "";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "gateway-supply-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe("dependencies", () => {
  it("are pinned to one version each", () => {
    const { dependencies, devDependencies, overrides } = manifest;
    const loose = Object.entries({ ...dependencies, ...devDependencies, ...overrides }).filter(
      ([, version]) => !/^\d+\.\d+\.\d+(-[a-z]+\.\d+)?$/.test(version),
    );
    expect(loose).toEqual([]);
    expect(readFileSync(".npmrc", "utf8")).toMatch(/^save-exact=true$/m);
  });

  it("are locked by what is in them, and come from the registry", () => {
    expect(installed.length).toBeGreaterThan(200);
    const open = installed.filter(
      ([, { integrity, link, resolved = "https://registry.npmjs.org/" }]) =>
        link || !integrity?.startsWith("sha512-") || !resolved.startsWith("https://registry.npmjs.org/"),
    );
    expect(open.map(([path]) => path)).toEqual([]);
  });

  it("run no script at installation that the program needs", () => {
    /** Why it does without; and the tests of the built program run without, since npm is not allowed it here either. */
    const reasons: Readonly<Record<string, string>> = {
      "@apollo/protobufjs":
        "warns about version ranges in the package.json of who depends on it, and does nothing else",
    };
    const scripted = atRunTime.filter(([, entry]) => entry.hasInstallScript).map(([path]) => nameOf(path));
    expect(scripted).toEqual(Object.keys(reasons));
    for (const name of scripted) expect(manifest.allowScripts[name]).toBe(false);
  });

  it("hold no compiled add-on, which would have to be built", () => {
    const compiled = atRunTime.flatMap(([path]) =>
      readdirSync(path, { recursive: true, encoding: "utf8" })
        .filter((file) => /(^|\/)binding\.gyp$|\.node$/.test(file))
        .map((file) => join(path, file)),
    );
    expect(compiled).toEqual([]);
  });
});

describe("the bill of materials", () => {
  let text: string;
  let bill: Bill;
  beforeAll(() => {
    const file = join(folder, "sbom.json");
    execFileSync(process.execPath, ["--import", "tsx", "scripts/sbom.ts", file]);
    text = readFileSync(file, "utf8");
    bill = JSON.parse(text) as Bill;
  });

  it("names all that is installed to run the program, each with its hash, and nothing else", () => {
    expect(bill).toMatchObject({ bomFormat: "CycloneDX", metadata: { component: { name: "acs-token-gateway" } } });
    const label = ({ name, version }: { name: string; version: string }) => `${name}@${version}`;
    const named = bill.components.map(label);
    const expected = atRunTime.map(([path, { version }]) => label({ name: nameOf(path), version }));
    expect([...new Set(named)].sort()).toEqual([...new Set(expected)].sort());
    expect(named).toEqual(expect.arrayContaining(Object.entries(manifest.dependencies).map((pair) => pair.join("@"))));
    expect(bill.components.filter(({ hashes }) => !hashes.some(({ alg }) => alg === "SHA-512"))).toEqual([]);
  });

  it("tells what is in the bundle from what is only installed with it", () => {
    const bundled = readBundled(join("dist", THIRD_PARTY_FILE));
    expect(bundled.length).toBeGreaterThan(50);
    const required = bill.components.filter(({ scope }) => scope === "required");
    expect(required.map(({ name, version }) => `${name}@${version}`).sort()).toEqual(bundled.sort());
    expect(new Set(bill.components.map(({ scope }) => scope))).toEqual(new Set(["required", "excluded"]));
  });

  it("says nothing of the machine that it was made on", () => {
    for (const own of [process.cwd(), folder, tmpdir(), homedir(), hostname(), "localhost", "127.0.0.1", "file:"]) {
      expect(text).not.toContain(own);
    }
    expect(text).not.toMatch(/registry\./);
  });

  it("is no part of the repository, and is made by npm run sbom", () => {
    expect(readFileSync(".gitignore", "utf8")).toMatch(/^sbom\.json$/m);
    expect(manifest.scripts.sbom).toBe("tsx scripts/sbom.ts");
  });
});

describe("the image", () => {
  const dockerfile = readFileSync("Dockerfile", "utf8");
  const lines = dockerfile.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const last = lines.findLastIndex((line) => line.startsWith("FROM "));
  const final = lines.slice(last);
  const instructions = final.map((line) => line.split(" ")[0]);

  it("is distroless, so it has no shell and no package manager, and is not root", () => {
    expect(final[0]).toMatch(/^FROM gcr\.io\/distroless\/nodejs24-debian\d+:nonroot$/);
    expect(instructions).not.toContain("RUN");
    expect(instructions).not.toContain("SHELL");
    expect(instructions).not.toContain("USER");
  });

  it("starts the program itself, by no shell", () => {
    for (const name of ["ENTRYPOINT", "CMD"]) {
      expect(final.find((line) => line.startsWith(`${name} `))).toMatch(/^\w+ \[".+"\]$/);
    }
    expect(final.find((line) => line.startsWith("HEALTHCHECK "))).toMatch(/ CMD \[".+"\]$/);
  });

  it("is built without any script of a dependency, from the lockfile", () => {
    const installs = lines.flatMap((line) => line.match(/npm (ci|i|install|add)\b[^&]*/g) ?? []);
    expect(installs.length).toBeGreaterThan(0);
    for (const install of installs) expect(install).toMatch(/^npm ci --ignore-scripts\b/);
  });

  it("holds what runs and its bill of materials, and is written to in one volume only", () => {
    const copies = final
      .filter((line) => /^(COPY|ADD) /.test(line))
      .flatMap((line) => line.split(" ").slice(1, -1))
      .filter((word) => !word.startsWith("--"));
    expect(copies).toEqual([
      "/app/package.json",
      "/app/dist",
      "gateway.yaml",
      "LICENSE",
      "/app/sbom.json",
      "/app/data",
    ]);
    expect(final.filter((line) => line.startsWith("VOLUME "))).toEqual(["VOLUME /app/data"]);
    expect(readFileSync(".dockerignore", "utf8")).toMatch(/^\*\n/);
  });
});

describe("the built program, where nothing is installed", () => {
  let place: string;
  const keys = {
    TOKEN_CACHE_KEY: Buffer.alloc(32, 1).toString("base64"),
    AUDIT_KEY: Buffer.alloc(32, 2).toString("base64"),
  };
  const common = { PORT: "0", ADMIN_PORT: "0", OIDC_ISSUER: "http://127.0.0.1:9", OIDC_AUDIENCE: "test", ...keys };
  const start = (env: Readonly<Record<string, string>>) =>
    Cli.start(["serve"], { cwd: place, env: { ...common, ...env }, main: join(place, "dist/main.js") });
  beforeAll(() => {
    place = mkdtempSync(join(tmpdir(), "gateway-alone-"));
    for (const name of ["dist", "gateway.yaml", "package.json"]) cpSync(name, join(place, name), { recursive: true });
  });
  afterAll(() => {
    rmSync(place, { recursive: true });
  });

  it("starts with Entra ID, Redis and SQLite", async () => {
    const cli = start({ ACS_ENDPOINT: "https://contoso.communication.azure.com", REDIS_URL: "redis://127.0.0.1:9" });
    const [, url] = await cli.printed(/"url":"([^"]+)"/);
    expect((await fetch(`${url}/health/live`)).status).toBe(200);
    cli.kill("SIGTERM");
    expect(await cli.ended()).toBe(0);
  });

  it("knows Postgres", async () => {
    const cli = start({
      ACS_CONNECTION_STRING: "endpoint=http://127.0.0.1:9/;accesskey=c2VjcmV0",
      DATABASE_URL: "postgres://nobody@127.0.0.1:9/gateway",
    });
    expect(await cli.ended()).toBe(2);
    expect(cli.stderr).toContain("cannot be reached (");
    expect(cli.stderr).not.toContain("Cannot find");
  });
});

it("the program writes nothing outside its data folder, so that the rest can be read-only", async () => {
  const home = join(folder, "home");
  mkdirSync(home);
  const cli = Cli.start(["serve"], {
    cwd: home,
    env: {
      HOME: home,
      TMPDIR: home,
      PORT: "0",
      ADMIN_PORT: "0",
      ACS_CONNECTION_STRING: "endpoint=http://127.0.0.1:9/;accesskey=c2VjcmV0",
      OIDC_ISSUER: "http://127.0.0.1:9",
      OIDC_AUDIENCE: "test",
    },
  });
  const [, url] = await cli.printed(/"url":"([^"]+)"/);
  await fetch(`${url}/health/ready`);
  const written = readdirSync(home, { recursive: true, encoding: "utf8" });
  cli.kill("SIGTERM");
  expect(await cli.ended()).toBe(0);
  expect(written).toContain("data/gateway.db");
  expect([...written, ...readdirSync(home, { recursive: true, encoding: "utf8" })].filter(isElsewhere)).toEqual([]);
});

const isElsewhere = (file: string) => file !== "data" && !file.startsWith("data/");
