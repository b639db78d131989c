import { readdirSync, readFileSync } from "node:fs";
import { build, type Plugin } from "rolldown";
import { expect, it } from "vitest";
import { oneByte } from "../scripts/one-byte.js";

const DIST = new URL("../dist/", import.meta.url);
const ENTRY = `
// A comment … stays one.
const key = { "Größe ≥": "≥" };
export const result = [ "…", \`\${1}—\`, /[‘’]+/.test("’"), /^\\p{Emoji}$/u.test("😀"), /^[😀-😎]$/u.test("😀"), key ];
`;

async function resultWith(plugins: readonly Plugin[]): Promise<{ readonly code: string; readonly result: unknown }> {
  const entry = "\0entry";
  const given: Plugin = {
    name: "entry",
    resolveId: (id) => (id === entry ? id : null),
    load: (id) => (id === entry ? ENTRY : null),
  };
  const { output } = await build({ input: entry, platform: "node", write: false, plugins: [given, ...plugins] });
  const { code } = output[0];
  const { result } = await import(`data:text/javascript;charset=utf-8,${encodeURIComponent(code)}`);
  return { code, result };
}

it("is the same program, and all of it in characters of one byte", async () => {
  const [plain, escaped] = [await resultWith([]), await resultWith([oneByte])];
  expect(escaped.result).toEqual(plain.result);
  expect(plain.code).toMatch(/[^\0-\xff]/);
  expect(escaped.code).not.toMatch(/[^\0-\xff]/);
});

it("is how the program is shipped", () => {
  const files = readdirSync(DIST).filter((file) => file.endsWith(".js"));
  expect(files).toContain("gateway.js");
  expect(files.filter((file) => /[^\0-\xff]/.test(readFileSync(new URL(file, DIST), "utf8")))).toEqual([]);
});
