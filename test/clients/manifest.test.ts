import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DOCUMENT, DOCUMENT_ID } from "../../src/client/document.js";
import { manifest } from "./gateways.js";

/** As the client preset of GraphQL Code Generator wrote it, with `__typename`. */
const PRESET = JSON.parse(readFileSync("test/generated/trees/persisted-documents.json", "utf8")) as object;

const idOf = (text: string) => createHash("sha256").update(text).digest("hex");

describe("the published manifest", () => {
  it("names each document by the SHA-256 of its text, and has each operation once", () => {
    for (const { id, body } of manifest.operations) expect(id).toBe(idOf(body));
    const names = manifest.operations.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it("has what codegen makes of schema/operations, under codegen's ids, and the client package's document", () => {
    const listed = manifest.operations.map(({ id, body }) => [`sha256:${id}`, body]);
    expect(Object.fromEntries(listed)).toEqual({ ...PRESET, [DOCUMENT_ID]: DOCUMENT });
  });
});
