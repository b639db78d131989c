import { describe, expect, it } from "vitest";
import { AuthenticationFailure, NonceNeeded } from "../../src/auth/failure.js";

describe("a failure of authentication", () => {
  it("says the same to everybody, and the rest to the log alone", () => {
    const cause = new Error("why");
    expect(new AuthenticationFailure("expired", "exp is past", cause)).toMatchObject({
      code: "UNAUTHENTICATED",
      message: "A valid access token is required.",
      reason: "expired",
      detail: "exp is past",
      cause,
    });
  });

  it("for want of a nonce tells whose it is", () => {
    const user = { issuer: "https://a.example.com", subject: "s" };
    expect(new NonceNeeded(user)).toMatchObject({
      reason: "nonce_needed",
      detail: "no nonce of ours, or an old one",
      challengeError: "use_dpop_nonce",
      user,
    });
  });
});
