import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { ChatClient, type ChatClientOptions } from "@azure/communication-chat";
import { AzureCommunicationTokenCredential, type CommunicationTokenCredential } from "@azure/communication-common";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, expectTypeOf, it, vi } from "vitest";
import {
  type AbortSignalLike,
  createTokenRefresher,
  type TokenRefresher,
  type TokenRefresherOptions,
} from "../../src/client/client.js";
import { type Client, Rig } from "../fixtures/rig.js";
import { TcpProxy } from "../fixtures/tcp-proxy.js";
import { LongTimers } from "./long-timers.js";

type PipelinePolicy = NonNullable<ChatClientOptions["additionalPolicies"]>[number]["policy"];
type TextRefresher = (abortSignal?: AbortSignalLike) => Promise<string>;

const MINUTE = 60_000;
/** How long before its end the credential has a token renewed. */
const AHEAD = 10 * MINUTE;

let rig: Rig;
let alice: Client;
let network: TcpProxy;
let timers: LongTimers;
let credential: AzureCommunicationTokenCredential | undefined;
const onRetry = vi.fn<NonNullable<TokenRefresherOptions["onRetry"]>>();
const unheard: unknown[] = [];
const note = (error: unknown) => unheard.push(error);
const others = process.listeners("unhandledRejection");

beforeAll(async () => {
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", note);
  rig = await Rig.start();
  alice = await rig.member("alice", { claims: { exp: Math.floor(Date.now() / 1000) + 86_400 } });
  network = await TcpProxy.start(new URL(rig.gateway.url));
});
beforeEach(() => {
  timers = LongTimers.hold();
  onRetry.mockReset();
  unheard.length = 0;
});
afterEach(() => {
  credential?.dispose();
  timers.release();
  vi.useRealTimers();
});
afterAll(async () => {
  process.removeListener("unhandledRejection", note);
  for (const other of others) process.on("unhandledRejection", other);
  await network.close();
  await rig.close();
});

function refresherWith(options: Partial<TokenRefresherOptions> = {}): TokenRefresher {
  return createTokenRefresher({
    url: `http://127.0.0.1:${network.port}/graphql`,
    getCallerToken: () => alice.token,
    scopes: ["CHAT"],
    lifetimeMinutes: 60,
    onRetry,
    ...options,
  });
}

/** Moves the clock of everybody in this process; timers go on as they are. */
function setClock(now: number): void {
  vi.useFakeTimers({ now, toFake: ["Date"] });
}

/**
 * As an app makes it, by the pages: it asks for the first token itself, and so hears of a refusal, and hands on texts, which is all
 * that the library took before 2.5.0.
 */
async function makeCredential(refresh: TokenRefresher): Promise<AzureCommunicationTokenCredential> {
  const { token } = await refresh();
  const tokenRefresher: TextRefresher = async (abortSignal) => (await refresh(abortSignal)).token;
  credential = new AzureCommunicationTokenCredential({ token, tokenRefresher, refreshProactively: true });
  return credential;
}

/** Ten minutes before the end of the credential's token, when its own timer goes off. */
async function comeToRefresh(of: AzureCommunicationTokenCredential): Promise<void> {
  const { expiresOnTimestamp } = await of.getToken();
  const timer = timers.about(expiresOnTimestamp - AHEAD - Date.now());
  setClock(expiresOnTimestamp - AHEAD);
  timer();
}

describe("AzureCommunicationTokenCredential with our refresher", () => {
  it("gets a token when it is asked for one, and another when that has ended", async () => {
    credential = new AzureCommunicationTokenCredential({ tokenRefresher: refresherWith() });
    const first = await credential.getToken();
    expect(await rig.isActive(first.token)).toBe(true);
    setClock(first.expiresOnTimestamp + MINUTE);
    const second = await credential.getToken();
    expect(second.token).not.toBe(first.token);
    expect(await rig.isActive(second.token)).toBe(true);
  });

  it("refreshes by itself ten minutes before each token's end", async () => {
    const keeps = await makeCredential(refresherWith());
    const seen = new Set([(await keeps.getToken()).token]);
    for (let times = 2; times <= 4; times++) {
      await comeToRefresh(keeps);
      await expect.poll(async () => seen.has((await keeps.getToken()).token)).toBe(false);
      seen.add((await keeps.getToken()).token);
      expect(await rig.isActive((await keeps.getToken()).token)).toBe(true);
    }
    expect(onRetry).not.toHaveBeenCalled();
  });

  it("goes on refreshing by itself after an outage, also one that outlasts the token", async () => {
    const keeps = await makeCredential(refresherWith());
    for (const outlasts of [false, true]) {
      const old = await keeps.getToken();
      onRetry.mockReset();
      network.cut();
      await comeToRefresh(keeps);
      await expect.poll(() => onRetry.mock.calls.length).toBeGreaterThanOrEqual(2);
      expect((await keeps.getToken()).token).toBe(old.token);
      if (outlasts) setClock(old.expiresOnTimestamp + MINUTE);
      const waiting = keeps.getToken();
      network.mend();
      // Who asks while there is no good token waits for the new one.
      if (outlasts) expect((await waiting).token).not.toBe(old.token);
      await expect.poll(async () => (await keeps.getToken()).token, { timeout: 15_000 }).not.toBe(old.token);
      expect(await rig.isActive((await keeps.getToken()).token)).toBe(true);
    }
    const { token } = await keeps.getToken();
    await comeToRefresh(keeps);
    await expect.poll(async () => (await keeps.getToken()).token).not.toBe(token);
    expect(unheard).toEqual([]);
  }, 40_000);

  it("would never again after one failure, which is also an unhandled rejection: so a refresher has to wait inside", async () => {
    const ours = refresherWith();
    let isDown = false;
    const keeps = await makeCredential((signal) => (isDown ? Promise.reject(new Error("down")) : ours(signal)));
    isDown = true;
    await comeToRefresh(keeps);
    await expect.poll(() => unheard).toMatchObject([{ message: "down" }]);
    // It would be for half of the time that is left, or for ten minutes before the end.
    expect(timers.lengths.filter((length) => length > AHEAD / 2 - MINUTE && length < 60 * MINUTE)).toEqual([]);
  });

  it("passes on the signal of who asks", async () => {
    credential = new AzureCommunicationTokenCredential({ tokenRefresher: refresherWith() });
    network.silence();
    const controller = new AbortController();
    const call = credential.getToken({ abortSignal: controller.signal });
    controller.abort();
    await expect(call).rejects.toMatchObject({ name: "AbortError" });
    network.cut();
    network.mend();
    expect(await rig.isActive((await credential.getToken()).token)).toBe(true);
  });

  it("is what clients of calls and chats take", () => {
    // `CallClient.createCallAgent` of @azure/communication-calling asks for this type.
    expectTypeOf<AzureCommunicationTokenCredential>().toExtend<CommunicationTokenCredential>();
  });
});

/** It sends a token to https addresses only; behind the policy that adds it, the request goes to a server of this machine. */
function leadTo(server: Server): PipelinePolicy {
  return {
    name: "leadToLoopback",
    sendRequest: async (request, next) => {
      request.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${new URL(request.url).pathname}`;
      request.allowInsecureConnection = true;
      return await next(request);
    },
  };
}

describe("ChatClient with our credential", () => {
  it("sends the token with each request, and the next one when that has ended", async () => {
    const sent: (string | undefined)[] = [];
    // There is no chat service to be had: this takes the place of one, for the header alone.
    const service = createServer((request, response) => {
      sent.push(request.headers.authorization);
      response.setHeader("content-type", "application/json").end('{"value":[]}');
    });
    await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
    try {
      const keeps = await makeCredential(refresherWith());
      const chats = new ChatClient("https://contoso.communication.azure.com", keeps, {
        additionalPolicies: [{ policy: leadTo(service), position: "perRetry" }],
      });
      const list = async () => {
        for await (const _ of chats.listChatThreads()) expect.fail("a chat");
        return (await keeps.getToken()).token;
      };
      const first = await list();
      setClock((await keeps.getToken()).expiresOnTimestamp + MINUTE);
      const second = await list();
      expect(second).not.toBe(first);
      expect(sent).toEqual([`Bearer ${first}`, `Bearer ${second}`]);
      expect(await rig.isActive(second)).toBe(true);
    } finally {
      await new Promise((resolve) => service.close(resolve));
    }
  });
});
