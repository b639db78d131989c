import { expect, it } from "vitest";
import { Rig } from "../fixtures/rig.js";
import { IssueAccessTokenDocument } from "../generated/graphql.js";

it("is told by every test that its gateway has given a token away", async () => {
  const rig = await Rig.start();
  const alice = await rig.member();
  const { issueAccessToken } = await alice.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
  const [, , signature] = issueAccessToken.accessToken?.token.split(".") ?? [];
  rig.logLines.push(`{"msg":"here: ${signature}"}`, `{"msg":"from ${alice.token}"}`);
  await expect(rig.close()).rejects.toThrow(
    new RegExp(`given away .*${signature?.slice(0, 16)}.*${alice.token.split(".")[2]?.slice(0, 16)}`),
  );
});
