import { AggregateAuthenticationError, AuthenticationError, CredentialUnavailableError } from "@azure/identity";
import { expect, it } from "vitest";
import { ServiceFailure } from "../../src/acs/service.js";
import { judge } from "../../src/commands/doctor/service.js";

const ENTRA = { kind: "entra", endpoint: "https://r.communication.azure.com/" } as Parameters<typeof judge>[1];

it.each([
  ["nobody to ask as", "broken", new CredentialUnavailableError("no credential")],
  ["none of several", "broken", new AggregateAuthenticationError([new CredentialUnavailableError("no credential")])],
  ["somebody whom Entra ID refuses", "refused", new AuthenticationError(400, { error: "invalid_client" })],
] as const)("a process that has %s is told to have an identity, and not to wait", (_, reason, cause) => {
  for (const error of [cause, new Error("in between", { cause })]) {
    const finding = judge(new ServiceFailure(reason, "Communication Services broke off.", { cause: error }), ENTRA);
    expect(finding).toMatchObject({ status: "fail", cure: expect.stringMatching(/^give this process an identity/) });
  }
});

it("what does not answer otherwise is an outage", () => {
  const finding = judge(new ServiceFailure("outOfOrder", "503", { cause: new Error("RestError") }), ENTRA);
  expect(finding).toMatchObject({ status: "fail", cure: expect.stringMatching(/outage/) });
});
