import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "rolldown";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apolloParts } from "../../scripts/apollo-parts.js";

type RequestContext = Readonly<Record<string, unknown>>;

interface Parts {
  readonly makeGatewayGraphQLRequestContext: (
    of: RequestContext,
    server: object,
    internals: object,
  ) => Readonly<Record<"request" | "context" | "document" | "operation", unknown>>;
  readonly createHash: (kind: string) => { update(text: string): { digest(encoding: "hex"): string } };
  readonly Negotiator: new (request: object) => { mediaType(available: readonly string[]): string | undefined };
}

/** What Apollo itself loads. */
const requireOfApollo = createRequire(createRequire(import.meta.url).resolve("@apollo/server"));
const { createHash } = requireOfApollo("@apollo/utils.createhash") as Pick<Parts, "createHash">;
const Negotiator = requireOfApollo("negotiator") as Parts["Negotiator"];
const { makeGatewayGraphQLRequestContext } = requireOfApollo(
  join(dirname(requireOfApollo.resolve("@apollo/server")), "utils/makeGatewayGraphQLRequestContext.js"),
) as Pick<Parts, "makeGatewayGraphQLRequestContext">;

const PIPELINE = join(dirname(requireOfApollo.resolve("@apollo/server")), "../esm/requestPipeline.js");

/** As they are in the built program. */
let parts: Parts;
let code: string;
let folder: string;
beforeAll(async () => {
  const entry = "\0/@apollo/server/entry";
  const text = `
    export { createHash } from "@apollo/utils.createhash";
    export { default as Negotiator } from "negotiator";
    export { makeGatewayGraphQLRequestContext } from "./utils/makeGatewayGraphQLRequestContext.js";
    export { processGraphQLRequest } from ${JSON.stringify(PIPELINE)};`;
  const { output } = await build({
    input: entry,
    platform: "node",
    write: false,
    plugins: [
      apolloParts,
      { name: "entry", resolveId: (id) => (id === entry ? id : null), load: (id) => (id === entry ? text : null) },
    ],
  });
  code = output[0].code;
  folder = mkdtempSync(join(tmpdir(), "gateway-apollo-parts-"));
  const file = join(folder, "parts.mjs");
  writeFileSync(file, code);
  parts = (await import(pathToFileURL(file).href)) as Parts;
});

afterAll(() => rmSync(folder, { recursive: true }));

describe("the parts that stand in for Apollo's", () => {
  it("hash a document as Apollo does", () => {
    for (const text of ["", "{ viewer { user { subject } } }", "é🙂", "x".repeat(10_000)]) {
      const own = createHash("sha256").update(text).digest("hex");
      expect(parts.createHash("sha256").update(text).digest("hex")).toBe(own);
      // Again, since a part may remember.
      expect(parts.createHash("sha256").update(text).digest("hex")).toBe(own);
    }
  });

  it("give an executor what Apollo gives it, of all that ours asks for", () => {
    const of = {
      request: { query: "{ viewer { user { subject } } }", operationName: "One", variables: { a: 1 }, extensions: {} },
      response: { http: { headers: new Map() } },
      contextValue: { of: "this request" },
      document: { kind: "Document" },
      operation: { kind: "OperationDefinition" },
    };
    const own = makeGatewayGraphQLRequestContext(of, {}, {});
    const { request, document, operation, context } = parts.makeGatewayGraphQLRequestContext(of, {}, {});
    expect(request).toEqual(own.request);
    expect(document).toBe(own.document);
    expect(operation).toBe(own.operation);
    expect(context).toBe(own.context);
  });

  it("choose the media type that Apollo chooses", () => {
    const available = [
      ["multipart/mixed; incrementalSpec=v0.2", "multipart/mixed; deferSpec=20220824"],
      ["application/json; charset=utf-8", "application/graphql-response+json; charset=utf-8"],
    ];
    const accepts = [
      undefined,
      "",
      "*/*",
      "application/json",
      "application/graphql-response+json;q=0.9, application/json;q=0.5",
      "multipart/mixed; deferSpec=20220824, application/json",
      "text/html",
      "nonsense;;q=,",
      `text/html, ${"x".repeat(500)}/y`,
    ];
    for (const accept of [...accepts, ...accepts]) {
      for (const types of available) {
        const request = { headers: { accept } };
        expect(new parts.Negotiator(request).mediaType(types)).toBe(new Negotiator(request).mediaType(types));
      }
    }
  });

  it("wait for plugins as Apollo does, but not for those that have nothing to wait for", async () => {
    const waits = readFileSync(PIPELINE, "utf8").split("await Promise.all(").length;
    expect(waits).toBeGreaterThan(5);
    expect(code.split("await allOf(")).toHaveLength(waits);
    const [definition = ""] = /const allOf = .+?;$/ms.exec(code) ?? [];
    const allOf = new Function(`${definition} return allOf;`)() as (values: readonly unknown[]) => unknown;
    for (const values of [[], [undefined], [1, "two", null], [Promise.resolve(1), 2], [{ other: true }]]) {
      expect(await allOf(values)).toEqual(await Promise.all(values));
    }
    expect(allOf([undefined, 1])).not.toBeInstanceOf(Promise);
    await expect(allOf([1, Promise.reject(new Error("not this one"))])).rejects.toThrow("not this one");
  });
});
