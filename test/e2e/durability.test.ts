import { join } from "node:path";
import { CommunicationIdentityClient } from "@azure/communication-identity";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.js";
import { type Client, IS_ON_SQLITE, Rig, UNTIL_CLEARED } from "../fixtures/rig.js";
import {
  DeleteMyIdentityDocument,
  IdentityByUserDocument,
  IssueAccessTokenDocument,
  OperationsDocument,
  RevokeAccessTokensDocument,
  RevokeMyAccessTokensDocument,
} from "../generated/graphql.js";

let rig: Rig;
let admin: Client;

const impatient = (config: Config): Config => ({ ...config, acs: { ...config.acs, timeoutSeconds: 0.3 } });

beforeEach(async () => {
  rig = await Rig.start({ configure: impatient });
  admin = await rig.admin();
});
afterEach(async () => {
  await rig.close();
});

/** A new token: one from the cache would say nothing of what the service knows. */
async function token(client: Client): Promise<string> {
  const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"], forceNew: true });
  return issueAccessToken.accessToken?.token ?? expect.fail(JSON.stringify(issueAccessToken.userErrors));
}

async function identityOf(subject: string) {
  return (await admin.ask(IdentityByUserDocument, { user: { issuer: rig.issuer.url, subject } })).identityByUser;
}

describe("an attempt to provision", () => {
  it.each([
    ["the service commits and drops the reply", { kind: "commitThenDrop" }, 503, 2],
    ["the service commits and answers too late", { kind: "delay", delayMs: 600 }, 504, 2],
    ["the service fails", { kind: "status", status: 500 }, 503, 1],
  ])("is in doubt when %s: one mapping, one attempt for the operator", async (_, fault, status, atService) => {
    const alice = await rig.member();
    await rig.fault({ operation: "createIdentity", ...fault });
    expect(await alice.execute(IssueAccessTokenDocument, { scopes: ["CHAT"] })).toMatchObject({ status });
    const first = await token(alice);
    const { provisioningAttemptsInDoubt } = await admin.ask(OperationsDocument);
    const identity = await identityOf("alice");
    expect(provisioningAttemptsInDoubt).toMatchObject([
      { identity: { id: identity?.id }, endedAt: expect.any(String) },
    ]);
    await expect.poll(() => rig.identitiesAtService()).toBe(atService);
    expect(await rig.isActive(first)).toBe(true);
    const metrics = await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
    expect(metrics).toMatch(/^gateway_provisioning_attempts_in_doubt 1$/m);
  });

  it.each([
    ["refuses", { kind: "status", status: 429 }],
    ["says no", { kind: "status", status: 401, code: "Denied" }],
  ])("is not in doubt when the service %s", async (_, fault) => {
    const alice = await rig.member();
    await rig.fault({ operation: "createIdentity", ...fault });
    expect(await alice.execute(IssueAccessTokenDocument, { scopes: ["CHAT"] })).toMatchObject({ status: 503 });
    await token(alice);
    expect((await admin.ask(OperationsDocument)).provisioningAttemptsInDoubt).toEqual([]);
    expect(await rig.identitiesAtService()).toBe(1);
  });

  it("is not in doubt when the service cannot be reached at all", async () => {
    const { connectionString } = rig.emulator;
    const away = await Rig.start({
      configure: (config) => ({
        ...config,
        acs: { ...config.acs, kind: "key", endpoint: "http://127.0.0.1:9/" } as Config["acs"],
      }),
    });
    try {
      expect(connectionString).toContain("endpoint=");
      expect(await (await away.member()).execute(IssueAccessTokenDocument, { scopes: ["CHAT"] })).toMatchObject({
        status: 503,
      });
      expect((await (await away.admin()).ask(OperationsDocument)).provisioningAttemptsInDoubt).toEqual([]);
    } finally {
      await away.close();
    }
  });
});

describe("a gateway that is stopped while an identity is being made", () => {
  it("keeps it, though the caller has gone: nothing is in doubt afterwards", async () => {
    const alice = await rig.member();
    await rig.fault({ operation: "createIdentity", kind: "delay", delayMs: 200 });
    const gone = new AbortController();
    const left = fetch(`${rig.gateway.url}/graphql`, {
      method: "POST",
      signal: gone.signal,
      headers: { "content-type": "application/json", authorization: `Bearer ${alice.token}` },
      body: '{"query":"mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { token } } }"}',
    }).catch(() => "left");
    await rig.untilCalled("createIdentity");
    gone.abort();
    expect(await left).toBe("left");
    await rig.restartGateway();
    expect(await identityOf("alice")).toMatchObject({ status: "ACTIVE" });
    expect((await admin.ask(OperationsDocument)).provisioningAttemptsInDoubt).toEqual([]);
    expect(await rig.identitiesAtService()).toBe(1);
  });
});

describe("work that was accepted", () => {
  it("is shown to operators while it is pending, with what went wrong, and is done when the service can", async () => {
    const alice = await rig.member();
    const old = await token(alice);
    await rig.fault({ operation: "revokeAccessTokens", kind: "status", status: 500, times: UNTIL_CLEARED });
    await alice.ask(RevokeMyAccessTokensDocument);
    const { pendingServiceWork } = await admin.ask(OperationsDocument);
    expect(pendingServiceWork).toMatchObject([
      {
        action: "REVOKE",
        tries: expect.toSatisfy((tries: number) => tries >= 1, "tried"),
        lastError: "Communication Services is out of order.",
        identity: { id: (await identityOf("alice"))?.id },
      },
    ]);
    await rig.clearFaults();
    await expect.poll(() => rig.isActive(old), { timeout: 10_000 }).toBe(false);
    await expect
      .poll(async () => (await admin.ask(OperationsDocument)).pendingServiceWork, { timeout: 5000 })
      .toEqual([]);
    expect(await identityOf("alice")).toMatchObject({ revocationPending: false });
  });

  it("is done after a restart", async () => {
    const alice = await rig.member();
    const old = await token(alice);
    await rig.fault({ operation: "deleteIdentity", kind: "status", status: 500, times: 1 });
    await alice.ask(DeleteMyIdentityDocument);
    expect(await rig.isActive(old)).toBe(true);
    await rig.restartGateway();
    await expect.poll(() => rig.isActive(old), { timeout: 10_000 }).toBe(false);
    await expect.poll(() => identityOf("alice"), { timeout: 5000 }).toBeNull();
  });

  it.runIf(IS_ON_SQLITE)(
    "of another resource's identity is not taken for done, and is done once that resource is back",
    async () => {
      const alice = await rig.member();
      const old = await token(alice);
      const identityId = (await identityOf("alice"))?.id ?? expect.fail("no identity");
      await rig.gateway.close();
      const store = { kind: "sqlite", file: join(rig.folder, "gateway.db") } as const;
      const elsewhere = await Rig.start({ configure: (config) => ({ ...config, store }) });
      try {
        const operator = await elsewhere.admin();
        const { revokeAccessTokens } = await operator.ask(RevokeAccessTokensDocument, { identityId });
        expect(revokeAccessTokens).toMatchObject({ effectiveBy: null, identity: { revocationPending: true } });
        const { pendingServiceWork } = await operator.ask(OperationsDocument);
        expect(pendingServiceWork).toMatchObject([
          { lastError: expect.stringContaining("this gateway is connected to") },
        ]);
        expect(await rig.isActive(old)).toBe(true);
      } finally {
        await elsewhere.close();
      }
      await rig.startGateway();
      await expect.poll(() => rig.isActive(old), { timeout: 15_000 }).toBe(false);
    },
  );

  it("needs IDENTITY_READ to be seen", async () => {
    expect(await (await rig.member()).execute(OperationsDocument)).toMatchObject({ status: 403, data: null });
  });
});

describe("an identity that the service no longer knows as ours", () => {
  async function loseIdentity(client: Client, subject: string): Promise<string> {
    await token(client);
    const communicationUserId = (await identityOf(subject))?.communicationUserId ?? expect.fail("no identity");
    const service = new CommunicationIdentityClient(rig.emulator.connectionString, { allowInsecureConnection: true });
    await service.deleteUser({ communicationUserId });
    return communicationUserId;
  }

  it("is provisioned anew when a token is asked for, in the same row, and the loss is in the log", async () => {
    const alice = await rig.member();
    const lost = await loseIdentity(alice, "alice");
    const before = await identityOf("alice");
    expect(await rig.isActive(await token(alice))).toBe(true);
    const after = await identityOf("alice");
    expect(after).toMatchObject({ id: before?.id, status: "ACTIVE" });
    expect(after?.communicationUserId).not.toBe(lost);
    expect(rig.logLines.join("")).toContain("identity lost at the service");
  });

  it("is provisioned anew once for many callers at the same time", async () => {
    const alice = await rig.member();
    await loseIdentity(alice, "alice");
    await rig.takeCalls();
    await Promise.all(Array.from({ length: 10 }, () => token(alice)));
    expect(await rig.takeCalls()).toMatchObject({ createIdentity: 1 });
  });

  it("is refused when the operator wants that, with the cure, and comes back by deleting it", async () => {
    const strict = await Rig.start({
      configure: (config) => ({ ...config, acs: { ...config.acs, onLostIdentity: "refuse" } }),
    });
    try {
      const alice = await strict.member();
      await token(alice);
      const user = { issuer: strict.issuer.url, subject: "alice" };
      const { identityByUser } = await alice.ask(IdentityByUserDocument, { user });
      const service = new CommunicationIdentityClient(strict.emulator.connectionString, {
        allowInsecureConnection: true,
      });
      await service.deleteUser({ communicationUserId: identityByUser?.communicationUserId ?? "" });
      const { issueAccessToken } = await alice.ask(IssueAccessTokenDocument, { scopes: ["CHAT"], forceNew: true });
      expect(issueAccessToken.userErrors).toMatchObject([
        { code: "IDENTITY_NOT_FOUND", message: expect.stringContaining("delete it") },
      ]);
      await alice.ask(DeleteMyIdentityDocument);
      expect(await strict.isActive(await token(alice))).toBe(true);
    } finally {
      await strict.close();
    }
  });
});
