import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSchema, parse, validate } from "graphql";
import { describe, expect, it } from "vitest";
import { parse as parseYaml, stringify } from "yaml";
import { loadConfig } from "../../src/config/load.js";
import { blocksIn } from "./pages.js";

/** What a file says with `${NAME}`, which an operator has set. */
const ENVIRONMENT = {
  ACS_CONNECTION_STRING: `endpoint=https://my-resource.communication.azure.com/;accesskey=${Buffer.alloc(64).toString("base64")}`,
  OIDC_ISSUER: "https://login.example.com",
  OIDC_AUDIENCE: "gateway",
  ENTRA_TENANT_ID: "b0d5a4f2-0000-4000-8000-000000000000",
  ENTRA_API_CLIENT_ID: "5c1f0a3e-0000-4000-8000-000000000000",
};

/** As much of `@azure/communication-common` before 2.5.0 as the pages use: a token is a text. */
const OLD_AZURE = `
import type { AbortSignalLike } from "@azure/abort-controller";
export declare class AzureCommunicationTokenCredential {
  constructor(options: {
    token?: string;
    tokenRefresher: (abortSignal?: AbortSignalLike) => Promise<string>;
    refreshProactively?: boolean;
  });
  getToken(options?: { abortSignal?: AbortSignalLike }): Promise<{ token: string; expiresOnTimestamp: number }>;
  dispose(): void;
}
`;

describe("the code on the pages", () => {
  it("compiles, where it is TypeScript, as the project's own does", () => {
    const blocks = blocksIn("ts");
    expect(blocks.length).toBeGreaterThan(2);
    expect(compile(blocks)).toBe("");
  });

  it("compiles with the credential of @azure/communication-common before 2.5.0, too, where it makes one", () => {
    const blocks = blocksIn("ts").filter(([, { text }]) => text.includes("new AzureCommunicationTokenCredential("));
    expect(blocks.length).toBeGreaterThan(1);
    const options = { paths: { "@azure/communication-common": ["./old-azure.d.ts"] } };
    expect(compile(blocks, options, { "old-azure.d.ts": OLD_AZURE })).toBe("");
  });

  it.each([
    ["nodenext", "nodenext", "importExtension"],
    ["preserve", "bundler", "# importExtension"],
  ])(
    "compiles, where graphql-codegen makes it, by itself and as %s",
    { timeout: 60_000 },
    (module, resolution, line) => {
      const folder = mkdtempSync(".docs-");
      try {
        const [[, block] = expect.fail()] = blocksIn("yaml").filter(([, { note }]) => note === "codegen.yml");
        const text = block.text.replace("# importExtension", line).replace("src/generated/", `${folder}/`);
        writeFileSync(join(folder, "codegen.yml"), text);
        const { status, stderr } = spawnSync("npx", ["graphql-codegen", "--config", join(folder, "codegen.yml")]);
        expect(status, String(stderr)).toBe(0);
        const options = { strict: true, verbatimModuleSyntax: true, noEmit: true, types: [] };
        const compilerOptions = { ...options, module, moduleResolution: resolution };
        writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
        const { stdout } = spawnSync("npx", ["tsc", "-p", folder], { encoding: "utf8" });
        expect(stdout).toBe("");
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );

  it("asks, where it is GraphQL, for what the schema has", () => {
    const schema = buildSchema(readFileSync("schema/schema.graphql", "utf8"));
    const operations = blocksIn("graphql").filter(([, { note }]) => note === "");
    const problems = operations.flatMap(([place, { text }]) =>
      validate(schema, parse(text)).map(({ message }) => `${place} ${message}`),
    );
    expect(problems).toEqual([]);
  });

  it("is GraphQL where it says so, if of another schema or a part of one", () => {
    const others = blocksIn("graphql").filter(([, { note }]) => note !== "");
    for (const [place, { text }] of others) expect(() => parseAny(text), place).not.toThrow();
  });

  it("is JSON where it says so", () => {
    for (const [place, { text }] of blocksIn("json")) expect(() => JSON.parse(text), place).not.toThrow();
  });

  it("is, where it is YAML, a configuration or a part of one that the gateway takes", () => {
    const blocks = blocksIn("yaml").filter(([, { note }]) => !note.endsWith(".yml"));
    expect(blocks.length).toBeGreaterThan(2);
    for (const [place, { text }] of blocks) expect(() => load(text), place).not.toThrow();
  });
});

/** What the compiler says of each block in a file of its own, beside other files. */
function compile(
  blocks: ReturnType<typeof blocksIn>,
  compilerOptions: object = {},
  files: Readonly<Record<string, string>> = {},
): string {
  // In the project, so that its packages are found.
  const folder = mkdtempSync(".docs-");
  try {
    const own = blocks.map(([place, { text }]) => [`${place.replace(/\W/g, "_")}.ts`, `${text}\n\nexport {};\n`]);
    const config = JSON.stringify({ extends: "../tsconfig.json", compilerOptions, include: ["*.ts"] });
    for (const [name = "", text = ""] of [...own, ...Object.entries(files), ["tsconfig.json", config]])
      writeFileSync(join(folder, name), text);
    return spawnSync("npx", ["tsc", "-p", folder], { encoding: "utf8" }).stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A document, or fields of a type. */
function parseAny(text: string): void {
  parse(text.includes("{") ? text : `type Some { ${text} }`);
}

/** What a part leaves out is added where every file has to have it. */
function load(text: string): void {
  const { issuers, policy } = parseYaml(readFileSync("gateway.yaml", "utf8"));
  const folder = mkdtempSync(join(tmpdir(), "gateway-docs-"));
  try {
    const file = join(folder, "gateway.yaml");
    writeFileSync(file, stringify({ issuers, policy, ...parseYaml(text) }));
    loadConfig(file, ENVIRONMENT, "production");
  } finally {
    rmSync(folder, { recursive: true });
  }
}
