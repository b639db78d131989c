import { readdirSync, readFileSync } from "node:fs";
import { buildSchema, isEnumType } from "graphql";
import { describe, expect, it } from "vitest";
import { ERROR_CODES, errorKind } from "../../src/errors.js";
import { pages } from "./pages.js";

const FOLDER = "docs/errors";

const userErrorCodes = enumValues("UserErrorCode");
const documented = readdirSync(FOLDER)
  .filter((file) => file !== "README.md")
  .map((file) => file.replace(/\.md$/, ""));

function enumValues(name: string): string[] {
  const type = buildSchema(readFileSync("schema/schema.graphql", "utf8")).getType(name);
  if (!isEnumType(type)) throw new Error(`${name} is no enum`);
  return type.getValues().map((value) => value.name);
}

const page = (code: string) => readFileSync(`${FOLDER}/${code}.md`, "utf8");

describe("the pages of errors", () => {
  it("are one for each code that a client can meet, and no other", () => {
    expect([...documented].sort()).toEqual([...ERROR_CODES, ...userErrorCodes].sort());
  });

  it("are all in the table, those of errors with the status that they have", () => {
    const rows = pages.get(`${FOLDER}/README.md`)?.prose.match(/^\| \[`\w+`\].*$/gm) ?? [];
    const row = (code: string) => rows.find((text) => text.startsWith(`| [\`${code}\`](${code}.md) |`));
    expect(rows).toHaveLength(documented.length);
    for (const code of documented) expect(row(code), code).toBeDefined();
    for (const code of ERROR_CODES) expect(row(code)).toMatch(new RegExp(`\\| ${errorKind(code)?.status}\\b`));
  });

  it("say at the top where the code stands, with which status, and whether to send the call again", () => {
    for (const code of ERROR_CODES) {
      const { status, retryable = false } = errorKind(code) ?? {};
      const again = retryable ? "can be sent again as it is" : "sending it again as it is does not help";
      expect(page(code), code).toMatch(
        new RegExp(`^# ${code}\\n\\nIn \`errors\`, as \`extensions.code\`. HTTP ${status}[^;]*; ${again}\\.\\n`),
      );
    }
    for (const code of userErrorCodes) {
      expect(page(code), code).toMatch(
        new RegExp(`^# ${code}\\n\\nIn \`userErrors\` of the payload, as \`code\`. HTTP 200\\.\\n`),
      );
    }
  });

  it("give cause and cure", () => {
    for (const code of documented) expect(page(code), code).toMatch(/\n\*\*Cause\.\*\* .+\n\n\*\*Cure\.\*\* /s);
  });
});
