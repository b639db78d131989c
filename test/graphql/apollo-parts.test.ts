import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build } from "rolldown";
import { beforeAll, describe, expect, it } from "vitest";
import { ALL_OF, apolloParts } from "../../scripts/apollo-parts.js";

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

/** As they are in the built program. */
let parts: Parts;
beforeAll(async () => {
  const entry = "\0/@apollo/server/entry";
  const text = `
    export { createHash } from "@apollo/utils.createhash";
    export { default as Negotiator } from "negotiator";
    export { makeGatewayGraphQLRequestContext } from "./utils/makeGatewayGraphQLRequestContext.js";`;
  const { output } = await build({
    input: entry,
    platform: "node",
    write: false,
    plugins: [
      apolloParts,
      { name: "entry", resolveId: (id) => (id === entry ? id : null), load: (id) => (id === entry ? text : null) },
    ],
  });
  const code = output[0].code;
  parts = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as Parts;
});

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
    const allOf = new Function(`${ALL_OF}; return allOf;`)() as (values: readonly unknown[]) => unknown;
    for (const values of [[], [undefined], [1, "two", null], [Promise.resolve(1), 2], [{ other: true }]]) {
      expect(await allOf(values)).toEqual(await Promise.all(values));
    }
    expect(allOf([undefined, 1])).not.toBeInstanceOf(Promise);
    await expect(allOf([1, Promise.reject(new Error("not this one"))])).rejects.toThrow("not this one");
  });
});
