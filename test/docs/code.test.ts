import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSchema, parse, validate } from "graphql";
import { describe, expect, it } from "vitest";
import { parse as parseYaml, stringify } from "yaml";
import { loadConfig } from "../../src/config/load.js";
import { manifest } from "../clients/gateways.js";
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

const BY_TREES = `
import type { ApolloClient } from "@apollo/client";
import type { Client } from "@urql/core";
import { IssueAccessTokenDocument } from "./graphql.js";

export const ask = async (apollo: ApolloClient, urql: Client): Promise<(string | undefined)[]> => {
  const first = await apollo.mutate({ mutation: IssueAccessTokenDocument, variables: { scopes: ["CHAT"] } });
  const second = await urql.mutation(IssueAccessTokenDocument, { scopes: ["CHAT"] });
  return [first, second].map(({ data }) => data?.issueAccessToken.accessToken?.token);
};
`;

const BY_TEXTS = `
import type { GraphQLClient } from "graphql-request";
import { IssueAccessTokenDocument } from "./graphql.js";

export const body = JSON.stringify({ query: IssueAccessTokenDocument, variables: { scopes: ["CHAT"] } });
export const ask = async (client: GraphQLClient): Promise<string | undefined> =>
  (await client.request(IssueAccessTokenDocument, { scopes: ["CHAT"] })).issueAccessToken.accessToken?.token;
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

  describe("for graphql-codegen", () => {
    const generators: [how: string, module: string, lines: readonly string[], use: string][] = [
      ["for Apollo Client and urql, as nodenext", "nodenext", ["importExtension"], BY_TREES],
      ["for Apollo Client and urql, as preserve", "preserve", [], BY_TREES],
      ["for fetch and graphql-request", "preserve", ["documentMode"], BY_TEXTS],
    ];
    it.each(generators)(
      "makes what compiles, under the manifest's ids: %s",
      { timeout: 60_000 },
      (_, module, ...rest) => {
        const folder = mkdtempSync(".docs-");
        try {
          const [lines, use] = rest;
          generate(folder, lines);
          const made = JSON.parse(readFileSync(join(folder, "persisted-documents.json"), "utf8")) as object;
          expect(manifest.operations.map(({ id }) => `sha256:${id}`)).toEqual(
            expect.arrayContaining(Object.keys(made)),
          );
          writeFileSync(join(folder, "use.ts"), use);
          const moduleResolution = module === "nodenext" ? module : "bundler";
          const options = { strict: true, verbatimModuleSyntax: true, noEmit: true, skipLibCheck: true, types: [] };
          const config = {
            compilerOptions: { ...options, module, moduleResolution },
            include: ["graphql.ts", "gql.ts", "use.ts"],
          };
          writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
          expect(spawnSync("npx", ["tsc", "-p", folder], { encoding: "utf8" }).stdout).toBe("");
        } finally {
          rmSync(folder, { recursive: true });
        }
      },
    );
  });

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

/** Runs the page's codegen.ts, with lines of it that are for some. */
function generate(folder: string, lines: readonly string[]): void {
  const [[, block] = expect.fail()] = blocksIn("ts").filter(([, { note }]) => note === "codegen.ts");
  const chosen = lines.reduce((text, line) => text.replace(`// ${line}`, line), block.text);
  const file = join(folder, "codegen.ts");
  writeFileSync(file, chosen.replace("src/generated/", `${folder}/`));
  const { status, stderr } = spawnSync("npx", ["graphql-codegen", "--config", file], { encoding: "utf8" });
  expect(status, stderr).toBe(0);
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
