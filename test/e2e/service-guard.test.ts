import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Gateway } from "../../src/gateway.js";
import { type Client, type Reply, Rig } from "../fixtures/rig.js";
import {
  IssueAccessTokenDocument,
  type IssueAccessTokenMutation,
  OperationsDocument,
  RevokeMyAccessTokensDocument,
} from "../generated/graphql.js";

let rig: Rig;

beforeEach(async () => {
  rig = await Rig.start({
    configure: (config) => ({
      ...config,
      acs: { ...config.acs, timeoutSeconds: 10 },
      limits: { ...config.limits, requestsPerSubject: 2000 },
    }),
  });
});
afterEach(async () => {
  vi.useRealTimers();
  await rig.close();
});

const CHAT = { scopes: ["CHAT" as const] };

async function signIn(client: Client): Promise<Reply<IssueAccessTokenMutation>> {
  return await client.execute(IssueAccessTokenDocument, CHAT);
}

function codeOf({ errors }: Reply<unknown>): string {
  return errors?.[0]?.extensions.code ?? "OK";
}

describe("calls to the service", () => {
  it("are one create for a thousand callers of one new subject", async () => {
    const client = await rig.member("new");
    const replies = await Promise.all(Array.from({ length: 1000 }, () => signIn(client)));
    expect(new Set(replies.map(codeOf))).toEqual(new Set(["OK"]));
    const ids = replies.map(({ data }) => data?.issueAccessToken.accessToken?.identity.communicationUserId);
    expect(new Set(ids).size).toBe(1);
    const { createIdentity, issueAccessToken = 0, ...others } = await rig.takeCalls();
    expect(createIdentity).toBe(1);
    // Whoever comes before the first token is in the cache shares one more.
    expect(issueAccessToken).toBeLessThanOrEqual(1);
    expect(others).toEqual({});
  }, 60_000);

  it("are 50 at the most for a thousand sign-ins of 40 returning users over a day", async () => {
    const users = Array.from({ length: 40 }, (_, index) => `user-${index}`);
    for (const user of users) await signIn(await rig.member(user));
    expect(await rig.takeCalls()).toEqual({ createIdentity: 40 });
    const began = Date.now();
    for (let count = 0; count < 1000; count++) {
      // Only the clock is moved; it is that of service and issuer, too.
      vi.useFakeTimers({ now: began + (count / 1000) * 24 * 3_600_000, toFake: ["Date"] });
      expect(codeOf(await signIn(await rig.member(users[(count * 17) % users.length])))).toBe("OK");
    }
    const { issueAccessToken = 0, ...others } = await rig.takeCalls();
    expect(others).toEqual({});
    expect(issueAccessToken).toBeLessThanOrEqual(50);
  }, 60_000);
});

describe("when the service can take one call at a time", () => {
  it("revocations go first, then who is soon without a token, then who is new, then who has one for long", async () => {
    const hour = { ...CHAT, lifetimeMinutes: 60 };
    const start = Date.now();
    const oneAtATime = await rig.startAnother({
      configure: (config) => ({ ...config, acs: { ...config.acs, timeoutSeconds: 60, maxConcurrency: 1 } }),
    });
    const at = async (subject: string) => (await rig.member(subject)).at(oneAtATime);
    // All have to come while the first call lasts, so their tokens are made before.
    const comers = new Map<string, Client>();
    await (await at("expiring")).ask(IssueAccessTokenDocument, hour);
    vi.useFakeTimers({ now: start + 40 * 60_000, toFake: ["Date"] });
    for (const subject of ["early", "leaver", "first"]) await (await at(subject)).ask(IssueAccessTokenDocument, hour);
    for (const subject of ["first", "early", "new", "expiring", "leaver"]) comers.set(subject, await at(subject));
    await rig.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 2500 });
    // Longer than an answer takes from the service's on: that includes a write to the disk.
    await rig.fault({ operation: "*", kind: "delay", delayMs: 700, times: 10 });
    const order: string[] = [];
    const send = async (subject: string) => {
      const client = comers.get(subject) ?? expect.fail(subject);
      const isLeaving = subject === "leaver";
      await (isLeaving
        ? client.ask(RevokeMyAccessTokensDocument)
        : client.ask(IssueAccessTokenDocument, { ...hour, forceNew: true }));
      order.push(subject);
    };
    const first = send("first");
    await rig.untilCalled("issueAccessToken");
    const others = ["early", "new", "expiring", "leaver"].map(send);
    await expect.poll(() => waitingAt(oneAtATime)).toBe(4);
    await Promise.all([first, ...others]);
    expect(order).toEqual(["first", "leaver", "expiring", "new", "early"]);
  });
});

async function waitingAt({ adminUrl }: Gateway): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(/^gateway_service_calls_waiting (\d+)$/m.exec(text)?.[1]);
}

describe("an outage of the service, as users see it", () => {
  it("is 503 with a time to come back, takes nothing from their budgets, leaves few attempts in doubt, and ends by itself", async () => {
    const users = await Promise.all(Array.from({ length: 60 }, (_, index) => rig.member(`user-${index}`)));
    await rig.fault({ operation: "*", kind: "status", status: 503, times: 1_000_000 });
    for (let first = 0; first < users.length; first += 6) {
      for (const reply of await Promise.all(users.slice(first, first + 6).map(signIn))) {
        expect(reply.status).toBe(503);
        expect(codeOf(reply)).toBe("UPSTREAM_UNAVAILABLE");
        expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
        expect(reply.headers.get("ratelimit")).not.toContain("mints");
      }
    }
    const { createIdentity = 0, ...others } = await rig.takeCalls();
    expect(createIdentity).toBeLessThan(35);
    expect(others).toEqual({});
    const admin = await rig.admin();
    const { provisioningAttemptsInDoubt } = await admin.ask(OperationsDocument);
    // What was not begun is in no doubt.
    expect(provisioningAttemptsInDoubt).toHaveLength(createIdentity);
    await rig.control("DELETE", "/faults");
    const [someone] = users;
    await expect.poll(async () => someone && codeOf(await signIn(someone)), { timeout: 8000 }).toBe("OK");
    expect(new Set((await Promise.all(users.map(signIn))).map(codeOf))).toEqual(new Set(["OK"]));
    expect(rig.logLines.filter((line) => line.includes("service outage"))).toHaveLength(2);
  }, 30_000);

  it("spares the service repeats of revocations, and all of them are carried out after it", async () => {
    const users = await Promise.all(Array.from({ length: 50 }, (_, index) => rig.member(`user-${index}`)));
    const issued = await Promise.all(users.map(signIn));
    await rig.takeCalls();
    await rig.fault({ operation: "*", kind: "status", status: 503, times: 1_000_000 });
    for (let first = 0; first < users.length; first += 5) {
      const some = users.slice(first, first + 5).map((user) => user.ask(RevokeMyAccessTokensDocument));
      for (const { revokeAccessTokens } of await Promise.all(some)) expect(revokeAccessTokens.effectiveBy).toBeNull();
    }
    // The worker repeats each of them after 0.5 s, 1 s and so on.
    await setTimeout(3000);
    expect((await rig.takeCalls()).revokeAccessTokens).toBeLessThanOrEqual(users.length * 1.2);
    await rig.control("DELETE", "/faults");
    const admin = await rig.admin();
    const pending = async () => (await admin.ask(OperationsDocument)).pendingServiceWork.length;
    // The longest pause of the worker is a minute, which a busy machine may come to.
    await expect.poll(pending, { timeout: 80_000 }).toBe(0);
    for (const { data } of issued) {
      const token = data?.issueAccessToken.accessToken?.token ?? expect.fail("no token");
      expect(await rig.isActive(token)).toBe(false);
    }
  }, 120_000);
});
