import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseStrictJson } from "../src/json.js";

const parse = (text: string) => parseStrictJson(Buffer.from(text));

/** Whether a name in it has a character that JSON cannot have as it is. */
function needsEscape(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(([name, inner]) => JSON.stringify(name).includes("\\") || needsEscape(inner));
}

describe("strict JSON", () => {
  it("reads what JSON.parse reads, but for names that have to be written with an escape", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const text = JSON.stringify(value);
        if (needsEscape(value)) expect(() => parse(text)).toThrow("cannot be written without an escape");
        else expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it("reads a name that is written with an escape as it is, whatever objects were read before", () => {
    for (const before of ['{"a":0,"\\\\u007":1,"query":1}', '{"zz":0,"\\\\u007":"Q1"}']) {
      JSON.parse(before);
      expect(() => parse(before)).toThrow("without an escape");
      expect(parse('{"a":0,"\\u0071uery":"A","other":1}')).toEqual({ a: 0, query: "A", other: 1 });
      expect(parse('{"zz":0,"\\u0071uery":"A"}')).toEqual({ zz: 0, query: "A" });
      expect(() => parse('{"a":0,"\\u0071uery":"A","query":"B"}')).toThrow("twice");
    }
    // As some servers write addresses.
    expect(parse('{"https:\\/\\/example.com\\/roles":["a\\/b"]}')).toEqual({ "https://example.com/roles": ["a/b"] });
  });

  it("refuses a member that an object has twice, wherever it is and however it is spelled", () => {
    const name = fc.string({ unit: "binary", maxLength: 4 });
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), name, fc.boolean(), fc.nat(3), (one, other, text, escaped, depth) => {
        const spelled = JSON.stringify(text);
        const again = escaped
          ? `"${[...Array(text.length).keys()].map((at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`).join("")}"`
          : spelled;
        const twice = `{${spelled}:${JSON.stringify(one)}, "other member":[],${again}:${JSON.stringify(other)}}`;
        const nested = `${'{"a":['.repeat(depth)}${twice}${"]}".repeat(depth)}`;
        expect(() => JSON.parse(nested)).not.toThrow();
        const isPlain = ![one, other, { [text]: 0 }].some(needsEscape);
        expect(() => parse(nested)).toThrow(isPlain ? "an object has a member twice" : "without an escape");
      }),
    );
  });

  it("takes the same name in different objects, and the same text as a value", () => {
    expect(parse('{"a":{"a":["a","a",":","{\\"a\\":1"]},"b":[{"a":1},{"a":2}]}')).toBeDefined();
  });

  it("refuses a byte order mark, bytes that are not UTF-8, and what is no JSON, without quoting it", () => {
    expect(() => parse("\ufeff{}")).toThrow(/^it begins with a byte order mark$/);
    for (const text of ["{secret}", "", "{} {}", '{"a":01}']) expect(() => parse(text)).toThrow(/^not JSON$/);
    expect(() => parseStrictJson(Buffer.from([0x22, 0xc3, 0x28, 0x22]))).toThrow(/^not UTF-8$/);
  });

  it("is not ended by depth", () => {
    const deep = 30_000;
    expect(() => parse(`${"[".repeat(deep)}{"a":1,"a":2}${"]".repeat(deep)}`)).toThrow("twice");
    expect(() => parse(`${"[".repeat(deep)}${"]".repeat(deep)}`)).not.toThrow();
  });
});
