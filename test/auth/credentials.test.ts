import { describe, expect, it } from "vitest";
import { readCredentials } from "../../src/auth/credentials.js";
import { refusalOf } from "./refusal.js";

const refusal = (authorization?: string[], dpop?: string[]) =>
  refusalOf(() => readCredentials({ authorization, dpop }));

describe("credentials", () => {
  it("are a bearer token, whose proof is not looked at", () => {
    const bearer = { scheme: "Bearer", token: "aZ09._~+/=-", proof: undefined };
    expect(readCredentials({ authorization: ["Bearer aZ09._~+/=-"] })).toEqual(bearer);
    expect(readCredentials({ authorization: ["bEARER   aZ09._~+/=-"], dpop: ["p", "q"] })).toEqual(bearer);
  });

  it("are a DPoP token with one proof", () => {
    const bound = { scheme: "DPoP", token: "a", proof: "p" };
    expect(readCredentials({ authorization: ["dpop a"], dpop: ["p"] })).toEqual(bound);
    const wrong = ["bad_proof", "not one DPoP header"];
    expect(refusal(["DPoP a"])).toEqual(wrong);
    expect(refusal(["DPoP a"], [])).toEqual(wrong);
    expect(refusal(["DPoP a"], ["p", "q"])).toEqual(wrong);
  });

  it("are missing without a header, or with an empty one", () => {
    const missing = ["no_token", "no authorization header"];
    expect(refusalOf(() => readCredentials({}))).toEqual(missing);
    expect(refusal([])).toEqual(missing);
    expect(refusal([""])).toEqual(missing);
  });

  it.each([
    ["Bearer"],
    ["Bearer "],
    ["Bearera"],
    ["Basic a"],
    ["x Bearer a"],
    ["Bearer a b"],
    ["Bearer a,"],
    [" Bearer a"],
  ])("are malformed: %j", (line) => {
    expect(refusal([line])).toEqual(["malformed", "authorization is not one token of a known scheme"]);
  });

  it("are malformed when there are two, the same twice too", () => {
    expect(refusal(["Bearer a", "Bearer a"])?.[0]).toBe("malformed");
  });
});
