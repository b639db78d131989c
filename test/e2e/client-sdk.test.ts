import { AzureCommunicationTokenCredential } from "@azure/communication-common";
import { decodeJwt } from "jose";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { type Client, Rig } from "../fixtures/rig.js";
import { IssueAccessTokenDocument } from "../generated/graphql.js";

const MINUTE = 60_000;

let rig: Rig;
let alice: Client;

beforeAll(async () => {
  rig = await Rig.start();
  alice = await rig.member("alice", { claims: { exp: Math.floor(Date.now() / 1000) + 86_400 } });
});
afterEach(() => {
  vi.useRealTimers();
});
afterAll(async () => {
  await rig.close();
});

async function tokenFromGateway(): Promise<string> {
  const { issueAccessToken } = await alice.ask(IssueAccessTokenDocument, { scopes: ["CHAT"], lifetimeMinutes: 60 });
  return issueAccessToken.accessToken?.token ?? expect.fail("no token");
}

/** Moves the clock of everybody in this process; timers go on as they are. */
function setClock(now: number): void {
  vi.useFakeTimers({ now, toFake: ["Date"] });
}

it("Microsoft's client credential keeps a token while it is good and refreshes through the gateway when it ends", async () => {
  const refresher = vi.fn(tokenFromGateway);
  const credential = new AzureCommunicationTokenCredential({ tokenRefresher: refresher });
  try {
    const first = await credential.getToken();
    expect(first.expiresOnTimestamp).toBe((decodeJwt(first.token).exp ?? 0) * 1000);
    expect((await credential.getToken()).token).toBe(first.token);
    expect(refresher).toHaveBeenCalledTimes(1);

    setClock(first.expiresOnTimestamp + MINUTE);
    const second = await credential.getToken();
    expect(second.token).not.toBe(first.token);
    expect(refresher).toHaveBeenCalledTimes(2);
    expect(await rig.isActive(second.token)).toBe(true);
    expect(decodeJwt(second.token).skypeid).toBe(decodeJwt(first.token).skypeid);
  } finally {
    credential.dispose();
  }
});

it("Microsoft's client credential refreshes by itself before its token ends", async () => {
  const first = await tokenFromGateway();
  const end = (decodeJwt(first).exp ?? 0) * 1000;
  setClock(end - 1000);
  const refreshed = Promise.withResolvers<string>();
  const credential = new AzureCommunicationTokenCredential({
    token: first,
    refreshProactively: true,
    tokenRefresher: async () => {
      const token = await tokenFromGateway();
      refreshed.resolve(token);
      return token;
    },
  });
  try {
    const second = await refreshed.promise;
    expect(Date.now()).toBeLessThan(end);
    await expect.poll(async () => (await credential.getToken()).token).toBe(second);
    expect(await rig.isActive(second)).toBe(true);
  } finally {
    credential.dispose();
  }
});
