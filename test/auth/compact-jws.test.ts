import { describe, expect, it } from "vitest";
import { parseCompactJws } from "../../src/auth/compact-jws.js";
import { base64url } from "../fixtures/issuer.js";
import { refusalOf } from "./refusal.js";

const HEADER = { alg: "ES256", kid: "k", typ: "JWT" };
const CLAIMS = { sub: "s" };
const json = (value: unknown) => base64url(JSON.stringify(value));
const token = (header: unknown, claims: unknown = CLAIMS) => `${json(header)}.${json(claims)}.AAAA`;
const parse = (text: string) => parseCompactJws(text, { ownKey: "refused" });
const refusal = (text: string) => refusalOf(() => parse(text));
const malformed = (detail: string) => ["malformed", detail];

describe("a token", () => {
  it("is read into its header and its claims", () => {
    const text = token(HEADER);
    expect(parse(text)).toEqual({ text, header: HEADER, payload: CLAIMS });
  });

  it("needs no kid and no typ", () => {
    expect(parse(token({ alg: "ES256" })).header).toEqual({ alg: "ES256" });
  });

  it("has 8192 characters at most", () => {
    const short = token({ alg: "ES256" });
    const longest = `${short}${"A".repeat(8192 - short.length)}`;
    expect(longest).toHaveLength(8192);
    expect(refusal(longest)).toBeUndefined();
    expect(refusal(`${longest}A`)).toEqual(malformed("longer than 8192 characters"));
  });

  it.each([json(HEADER), token(HEADER).replace(".AAAA", ""), `${token(HEADER)}.AAAA`, `${token(HEADER)}.AAAA.AAAA`])(
    "has three parts: %s",
    (text) => {
      expect(refusal(text)).toEqual(malformed("not of three parts"));
    },
  );

  it.each([
    ["padding", "AA=="],
    ["bits to spare", "AB"],
    ["a rest that encodes nothing", "AAAAA"],
    ["the other alphabet", "+/+/"],
    ["white space", "AA AA"],
    ["a line end", "AAAA\n"],
    ["nothing in it", ""],
  ])("has no part with %s", (_, part) => {
    const refused = malformed("a part is not canonical base64url");
    expect(refusal(`${json(HEADER)}.${json(CLAIMS)}.${part}`)).toEqual(refused);
    expect(refusal(`${json(HEADER)}.${part}.AAAA`)).toEqual(refused);
    expect(refusal(`${part}.${json(CLAIMS)}.AAAA`)).toEqual(refused);
  });

  it.each([
    ["not JSON", "not JSON"],
    ["", "a part is not canonical base64url"],
    ['{"a":1,"a":2}', "an object has a member twice"],
    ["\ufeff{}", "it begins with a byte order mark"],
    [Buffer.from([0x22, 0xff, 0x22]), "not UTF-8"],
    ["null", "a part is no JSON object"],
    ["[]", "a part is no JSON object"],
    ['"text"', "a part is no JSON object"],
    ["1", "a part is no JSON object"],
  ])("has JSON objects that can be read in one way: not %j", (part, detail) => {
    expect(refusal(`${base64url(part)}.${json(CLAIMS)}.AAAA`)).toEqual(malformed(detail));
    expect(refusal(`${json(HEADER)}.${base64url(part)}.AAAA`)).toEqual(malformed(detail));
  });

  it.each([
    {},
    { alg: 1 },
    { alg: null },
    { alg: "ES256", kid: 1 },
    { alg: "ES256", kid: null },
    { alg: "ES256", typ: [] },
  ])("has texts for alg, kid and typ: not %j", (header) => {
    expect(refusal(token(header))).toEqual(malformed("alg, kid or typ is not a text"));
  });

  it.each(["crit", "b64", "jku", "x5u", "x5c", "cty", "enc", "zip"])(
    "has no header that tells how it is to be read, whatever is in it: %s",
    (name) => {
      for (const value of ["x", null, false]) {
        expect(refusal(token({ ...HEADER, [name]: value }))).toEqual(["header_refused", `header ${name} is refused`]);
      }
    },
  );

  it("brings no key to its own signature", () => {
    expect(refusal(token({ ...HEADER, jwk: {} }))).toEqual(["header_refused", "header jwk is refused"]);
  });
});

it("a proof brings the key to its own signature", () => {
  const read = (header: object) => parseCompactJws(token(header), { ownKey: "required" });
  expect(read({ ...HEADER, jwk: {} }).header).toHaveProperty("jwk", {});
  expect(refusalOf(() => read(HEADER))).toEqual(["header_refused", "header jwk is required"]);
});
