import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseStrictJson } from "../src/json.js";

const parse = (text: string) => parseStrictJson(Buffer.from(text));

/** With the members of each object in one order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value)
    .map(([name, inner]) => [name, sorted(inner)] as const)
    .toSorted(([one], [other]) => (one < other ? -1 : 1));
}

describe("strict JSON", () => {
  it("reads what was written", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.boolean(), (value, escaped) => {
        const text = JSON.stringify(value);
        // The same letters of any string, a name too.
        const spell = (string: string) =>
          string.replace(/\\u....|\\.|a/g, (letter) => (letter === "a" ? "\\u0061" : letter));
        const spelled = escaped ? text.replace(/"(?:[^"\\]|\\.)*"/g, spell) : text;
        expect(JSON.stringify(sorted(parse(spelled)))).toBe(JSON.stringify(sorted(value)));
      }),
    );
  });

  it("reads a name that is written with an escape as it is, whatever objects were read before", () => {
    for (const before of ['{"a":0,"\\\\u007":1,"query":1}', '{"zz":0,"\\\\u007":"Q1"}']) {
      JSON.parse(before);
      expect(Object.keys(parse(before) as object)).toContain("\\u007");
      expect(parse('{"a":0,"\\u0071uery":"A","other":1}')).toEqual({ a: 0, query: "A", other: 1 });
      expect(parse('{"zz":0,"\\u0071uery":"A"}')).toEqual({ zz: 0, query: "A" });
      expect(() => parse('{"a":0,"\\u0071uery":"A","query":"B"}')).toThrow("twice");
      expect(() => parse('{"a":0,"\\u0071uery":"A","q\\u0075ery":"B"}')).toThrow("twice");
    }
    // As some servers write addresses.
    expect(parse('{"https:\\/\\/example.com\\/roles":["a\\/b"]}')).toEqual({ "https://example.com/roles": ["a/b"] });
    expect(Object.keys(parse('{"__pr\\u006fto__":{"a":1}}') as object)).toEqual(["__proto__"]);
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
        expect(() => parse(nested)).toThrow("an object has a member twice");
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
