import { randomUUID } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { budgets } from "../conformance/limits.js";
import { FaultyLine, redisUrl, TEST_REDIS_URL, WHY_SKIPPED } from "../fixtures/redis.js";
import { type Client, type Reply, Rig } from "../fixtures/rig.js";
import {
  ExchangeTeamsUserTokenDocument,
  IssueAccessTokenDocument,
  IssueAccessTokenOnBehalfDocument,
  ProvisionIdentityDocument,
  ViewerDocument,
} from "../generated/graphql.js";

const JSON_TYPE = { "content-type": "application/json" };
const VIEWER = JSON.stringify({ query: "{ viewer { maxTokenLifetimeMinutes } }" });
const PROXY_HEADER = "x-forwarded-for";

let rig: Rig;
afterEach(async () => {
  await rig.close();
});

interface Setup {
  readonly limits?: Partial<Config["limits"]>;
  readonly proxies?: readonly string[];
  readonly redis?: string | undefined;
  /** Of a call to the service. */
  readonly timeoutSeconds?: number;
}

async function start({ limits = {}, proxies = [], redis, timeoutSeconds = 5 }: Setup): Promise<void> {
  rig = await Rig.start({
    configure: (config) => ({
      ...config,
      // Each failure is to be seen.
      acs: { ...config.acs, timeoutSeconds, retryPercent: 0 },
      limits: budgets(limits),
      redis: { url: redis === undefined ? null : new Secret(redis) },
      server: {
        ...config.server,
        proxies: { addresses: proxies, clientAddressHeader: PROXY_HEADER, clientCertificateHeader: null },
      },
    }),
  });
  if (redis !== undefined) await expect.poll(() => isRedisThere(), { timeout: 5000 }).toBe(true);
}

async function isRedisThere(gateway = rig.gateway): Promise<boolean> {
  const response = await fetch(`${gateway.url}/health/ready`);
  const { dependencies } = (await response.json()) as { dependencies: { name: string; ok: boolean }[] };
  return dependencies.some(({ name, ok }) => name === "redis" && ok);
}

const view = async (client: Client) => await client.execute(ViewerDocument);
const mint = async (client: Client) =>
  await client.execute(IssueAccessTokenDocument, { scopes: ["CHAT"], forceNew: true });
const attack = async (address?: string, gateway = rig.gateway) =>
  await rig.post(
    VIEWER,
    { ...JSON_TYPE, authorization: "Bearer x.y.z", ...(address !== undefined && { [PROXY_HEADER]: address }) },
    gateway,
  );

const exchange = (client: Client) =>
  client.execute(ExchangeTeamsUserTokenDocument, {
    teamsUserAadToken: "nonsense",
    clientId: "00000000-0000-0000-0000-000000000001",
    userObjectId: "00000000-0000-0000-0000-000000000002",
  });

/** `requests: 3` for `"requests";r=3;t=60`. Fails for anything that is not of that form. */
function told({ headers }: Reply<unknown>): Record<string, number> {
  const items = headers.get("ratelimit")?.split(", ") ?? [];
  const policies = headers.get("ratelimit-policy")?.split(", ") ?? [];
  expect(policies.map((policy) => /^("[a-z-]+");q=\d+;w=60$/.exec(policy)?.[1])).toEqual(
    items.map((item) => item.split(";")[0]),
  );
  return Object.fromEntries(
    items.map((item) => {
      const [, name, remaining, reset] = /^"([a-z-]+)";r=(\d+);t=(\d+)$/.exec(item) ?? [];
      expect(Number(reset)).toBeGreaterThanOrEqual(1);
      expect(Number(reset)).toBeLessThanOrEqual(60);
      return [name, Number(remaining)];
    }),
  );
}

/** The one answer to what goes over a budget: 429, small, with the seconds to wait in three places, and no call made. */
async function expectRefused(reply: Reply<unknown>, policy?: string): Promise<void> {
  expect(reply).toMatchObject({ status: 429, errors: [{ extensions: { code: "RATE_LIMITED", retryable: true } }] });
  expect(reply.text.length).toBeLessThan(2048);
  const seconds = Number(reply.headers.get("retry-after"));
  expect(seconds).toBeGreaterThanOrEqual(1);
  expect(reply.errors?.[0]?.extensions.retryAfterSeconds).toBe(seconds);
  if (policy !== undefined) {
    const [, reset] = new RegExp(`"${policy}";r=0;t=(\\d+)`).exec(reply.headers.get("ratelimit") ?? "") ?? [];
    expect(seconds).toBeGreaterThanOrEqual(Number(reset));
    expect(reply.headers.get("ratelimit-policy")).toContain(`"${policy}";q=`);
  }
  expect(await rig.takeCalls()).toEqual({});
}

const BACKENDS: readonly (readonly [name: string, redis: () => string | undefined, runs: boolean])[] = [
  ["in memory", () => undefined, true],
  [`in Redis${WHY_SKIPPED}`, () => redisUrl(), TEST_REDIS_URL !== undefined],
];

for (const [name, redis, runs] of BACKENDS) {
  describe.skipIf(!runs)(`limits counted ${name}`, () => {
    it("are by subject for requests: refuses what goes over, and not the neighbour", async () => {
      await start({ limits: { requestsPerSubject: 2 }, redis: redis() });
      const [alice, bob] = [await rig.member("alice"), await rig.member("bob")];
      expect(told(await view(alice))).toEqual({ requests: 1 });
      expect(told(await view(alice))).toEqual({ requests: 0 });
      for (const again of [view, mint]) await expectRefused(await again(alice), "requests");
      const reply = await view(bob);
      expect(reply).toMatchObject({ status: 200, errors: undefined });
      expect(told(reply)).toEqual({ requests: 1 });
    });

    it("are by subject for tokens minted, not for those that are reused", async () => {
      await start({ limits: { requestsPerSubject: 100, mintsPerSubject: 2 }, redis: redis() });
      const [alice, bob] = [await rig.member("alice"), await rig.member("bob")];
      expect(told(await mint(alice))).toEqual({ requests: 99, mints: 1 });
      const reused = await alice.execute(IssueAccessTokenDocument, { scopes: ["CHAT"] });
      expect(told(reused)).toEqual({ requests: 98 });
      expect(told(await mint(alice))).toEqual({ requests: 97, mints: 0 });
      await rig.takeCalls();
      const over = await mint(alice);
      await expectRefused(over, "mints");
      expect(told(over)).toEqual({ requests: 96, mints: 0 });
      expect(await view(alice)).toMatchObject({ status: 200 });
      expect(await mint(bob)).toMatchObject({ status: 200, errors: undefined });
    });

    it("are by subject for revocations of one's own tokens, and not for those of operators", async () => {
      await start({ limits: { revocationsPerSubject: 2 }, redis: redis() });
      const [alice, bob, admin] = [await rig.member("alice"), await rig.member("bob"), await rig.admin()];
      const revoke = (client: Client, identityId?: string) =>
        client.send({
          query: "mutation ($id: ID) { revokeAccessTokens(input: { identityId: $id }) { effectiveBy } }",
          variables: { id: identityId },
        });
      const identityId = (await mint(alice)).data?.issueAccessToken.accessToken?.identity.id;
      await mint(bob);
      expect(told(await revoke(alice))).toMatchObject({ revocations: 1 });
      expect(told(await revoke(alice))).toMatchObject({ revocations: 0 });
      await rig.takeCalls();
      await expectRefused(await revoke(alice), "revocations");
      expect(await rig.takeCalls()).toEqual({});
      expect(await revoke(bob)).toMatchObject({ status: 200, errors: undefined });
      for (let count = 0; count < 3; count++)
        expect(await revoke(admin, identityId)).toMatchObject({ status: 200, errors: undefined });
    });

    it("count no token that the service failed to mint, and one of a Teams user that it rejected", async () => {
      await start({ limits: { mintsPerSubject: 2, mintsPerIssuer: 2 }, redis: redis() });
      const alice = await rig.member("alice");
      for (const operation of ["createIdentity", "issueAccessToken"]) {
        await rig.fault({ operation, kind: "status", status: 503, times: 5 });
        for (let n = 0; n < 5; n++) {
          const reply = await mint(alice);
          expect(reply).toMatchObject({ status: 503, errors: [{ extensions: { code: "UPSTREAM_UNAVAILABLE" } }] });
          expect(told(reply)).not.toHaveProperty("mints");
        }
        expect(await mint(alice)).toMatchObject({ status: 200, errors: undefined });
      }
      await rig.takeCalls();
      await expectRefused(await mint(alice), "mints");
      const bob = await rig.member("bob");
      await expectRefused(await exchange(bob), "issuer-mints");
    });

    it("count a token that the service minted and answered too late", async () => {
      await start({ limits: { mintsPerSubject: 2 }, redis: redis(), timeoutSeconds: 0.3 });
      const alice = await rig.member("alice");
      expect(await mint(alice)).toMatchObject({ status: 200 });
      await rig.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 600, times: 1 });
      expect(await mint(alice)).toMatchObject({ status: 504 });
      await rig.takeCalls();
      await expectRefused(await mint(alice), "mints");
    });

    it("count each of a Teams user's tokens that the service rejects", async () => {
      await start({ limits: { mintsPerSubject: 2 }, redis: redis() });
      const bob = await rig.member("bob");
      for (let n = 0; n < 2; n++) {
        const { data } = await exchange(bob);
        expect(data).toMatchObject({ exchangeTeamsUserToken: { userErrors: [{ code: "TEAMS_TOKEN_REJECTED" }] } });
      }
      await rig.takeCalls();
      await expectRefused(await exchange(bob), "mints");
    });

    it("are by subject for a first token, too, which comes with the identity", async () => {
      await start({ limits: { mintsPerSubject: 1, mintsPerIssuer: 1 }, redis: redis() });
      expect(told(await mint(await rig.member("alice")))).toMatchObject({ mints: 0 });
      await rig.takeCalls();
      await expectRefused(await mint(await rig.member("bob")), "issuer-mints");
      expect(await rig.identitiesAtService()).toBe(1);
    });

    it("are by issuer for tokens minted, which leaves the subject's budget as it was", async () => {
      await start({ limits: { mintsPerSubject: 3, mintsPerIssuer: 4 }, redis: redis() });
      const [alice, bob] = [await rig.member("alice"), await rig.member("bob")];
      for (const client of [alice, alice, bob]) await mint(client);
      expect(told(await mint(bob))).toMatchObject({ mints: 1 });
      await rig.takeCalls();
      for (let n = 0; n < 5; n++) {
        const over = await mint(bob);
        await expectRefused(over, "issuer-mints");
        expect(told(over)).not.toHaveProperty("mints");
      }
    });

    it("are by address for failed authentication, and hold up no good token", async () => {
      await start({ limits: { failedAuthPerAddress: 3 }, redis: redis() });
      const attempts = [await attack(), await attack(), await attack()];
      expect(attempts.map(({ status }) => status)).toEqual([401, 401, 401]);
      expect(attempts.map(told)).toEqual([{}, {}, {}]);
      const over = await attack();
      await expectRefused(over, "failed-auth");
      expect(told(over)).toEqual({ "failed-auth": 0 });
      expect(await view(await rig.member())).toMatchObject({ status: 200, errors: undefined });
    });

    it("are by the client's address behind a named proxy, IPv6 by its /64", async () => {
      await start({ limits: { failedAuthPerAddress: 2 }, proxies: ["127.0.0.1"], redis: redis() });
      for (const client of ["192.0.2.7", "2001:db8:0:1::1"]) {
        expect((await attack(`198.51.100.1, ${client}`)).status).toBe(401);
        expect((await attack(`${client}, 127.0.0.1`)).status).toBe(401);
        await expectRefused(await attack(client), "failed-auth");
      }
      await expectRefused(await attack("2001:db8:0:1:ffff::2"), "failed-auth");
      for (const client of ["192.0.2.8", "2001:db8:0:2::1", "198.51.100.1"]) {
        expect((await attack(client)).status).toBe(401);
      }
      const good = await (await rig.member()).send(JSON.parse(VIEWER), { [PROXY_HEADER]: "192.0.2.7" });
      expect(good).toMatchObject({ status: 200, errors: undefined });
    });

    it("are not moved by a header that anyone but a named proxy has sent", async () => {
      await start({ limits: { failedAuthPerAddress: 2 }, proxies: ["192.0.2.0/24"], redis: redis() });
      expect([(await attack("198.51.100.1")).status, (await attack("198.51.100.2")).status]).toEqual([401, 401]);
      await expectRefused(await attack("198.51.100.3"), "failed-auth");
      await expectRefused(await attack(), "failed-auth");
    });

    it("let exactly the budget through when all come at once", async () => {
      await start({ limits: { requestsPerSubject: 20 }, redis: redis() });
      const alice = await rig.member();
      const replies = await Promise.all(Array.from({ length: 60 }, () => view(alice)));
      expect(replies.filter(({ status }) => status === 200)).toHaveLength(20);
      expect(replies.filter(({ status }) => status === 429)).toHaveLength(40);
    });
  });
}

describe("the answer's headers", () => {
  it("tell an operator nothing of the budget of the user for whom a token is minted", async () => {
    await start({ limits: { requestsPerSubject: 100, mintsPerSubject: 1 } });
    const operator = await rig.admin();
    const user = { issuer: rig.issuer.url, subject: "alice" };
    const { provisionIdentity } = await operator.ask(ProvisionIdentityDocument, { user });
    const identityId = provisionIdentity.identity?.id ?? "";
    const onBehalf = async () =>
      await operator.execute(IssueAccessTokenOnBehalfDocument, { identityId, scopes: ["CHAT", "VOIP"] });
    const minted = await onBehalf();
    expect(minted).toMatchObject({ status: 200, errors: undefined });
    expect(told(minted)).toEqual({ requests: 98 });
    await rig.takeCalls();
    const own = await rig.member("alice");
    const over = await mint(own);
    await expectRefused(over, "mints");
    const other = await operator.execute(IssueAccessTokenOnBehalfDocument, { identityId, scopes: ["CHAT"] });
    await expectRefused(other);
    expect(told(other)).toEqual({ requests: 97 });
    expect(told(await mint(operator))).toEqual({ requests: 96, mints: 0 });
  });

  it("tell of a mint that several requests share once", async () => {
    await start({});
    const alice = await rig.member();
    await mint(alice);
    await rig.takeCalls();
    const replies = await Promise.all(
      Array.from({ length: 20 }, () => alice.execute(IssueAccessTokenDocument, { scopes: ["VOIP"] })),
    );
    expect(replies.every(({ status }) => status === 200)).toBe(true);
    const tellers = replies.filter((reply) => "mints" in told(reply));
    expect(tellers.length).toBe((await rig.takeCalls()).issueAccessToken);
    expect(tellers.length).toBeGreaterThan(0);
  });

  it("tell what is left of the requests whatever came of this one, and nothing to strangers", async () => {
    await start({ limits: { requestsPerSubject: 10 } });
    const alice = await rig.member();
    const authorization = `Bearer ${alice.token}`;
    expect(told(await rig.post("{", { ...JSON_TYPE, authorization }))).toEqual({ requests: 9 });
    expect(told(await alice.send({ query: "{ nothing }" }))).toEqual({ requests: 8 });
    expect(told(await alice.send({ query: `# ${"x".repeat(70_000)}` }))).toEqual({ requests: 7 });
    await rig.fault({ operation: "createIdentity", kind: "status", status: 500 });
    expect(told(await alice.execute(IssueAccessTokenDocument, { scopes: ["CHAT"] }))).toMatchObject({ requests: 6 });
    expect(told(await rig.post(VIEWER, JSON_TYPE))).toEqual({});
    expect(told(await rig.post(VIEWER, { ...JSON_TYPE, authorization: "Bearer x.y.z" }))).toEqual({});
  });
});

describe.skipIf(!TEST_REDIS_URL)(`limits of two instances on one Redis${WHY_SKIPPED}`, () => {
  it("are one budget, for requests, mints and failed authentication", async () => {
    const limits = { requestsPerSubject: 6, mintsPerSubject: 2, failedAuthPerAddress: 4 };
    await start({ limits, proxies: ["127.0.0.1"], redis: redisUrl() });
    const other = await rig.startAnother();
    await expect.poll(() => isRedisThere(other), { timeout: 5000 }).toBe(true);
    const here = await rig.member();
    const there = here.at(other);
    expect(told(await mint(here))).toEqual({ requests: 5, mints: 1 });
    expect(told(await mint(there))).toEqual({ requests: 4, mints: 0 });
    await rig.takeCalls();
    await expectRefused(await mint(here), "mints");
    await expectRefused(await mint(there), "mints");
    expect([(await view(here)).status, (await view(there)).status]).toEqual([200, 200]);
    await expectRefused(await view(here), "requests");
    await expectRefused(await view(there), "requests");
    const client = `2001:db8:${randomUUID().slice(0, 4)}::1`;
    for (const gateway of [rig.gateway, other, rig.gateway, other]) {
      expect((await attack(client, gateway)).status).toBe(401);
    }
    await expectRefused(await attack(client), "failed-auth");
    await expectRefused(await attack(client, other), "failed-auth");
  });

  it("are the instance's part while Redis is away, without failing a request, and come back", async () => {
    const line = await FaultyLine.open();
    const limits = { requestsPerSubject: 12, mintsPerSubject: 8, failedAuthPerAddress: 4, instances: 2 };
    await start({ limits, redis: redisUrl(line.port) });
    const statuses = async (subject: string) => {
      const client = await rig.member(subject);
      const replies = await Promise.all(Array.from({ length: 15 }, () => view(client)));
      return replies.map(({ status }) => status).sort();
    };
    const granted = (times: number) => [...Array(times).fill(200), ...Array(15 - times).fill(429)];
    expect(await statuses("before")).toEqual(granted(12));
    for (const breakLine of [() => line.stall(), () => line.cut()]) {
      breakLine();
      expect(await statuses(randomUUID())).toEqual(granted(6));
      await expect.poll(() => isRedisThere(), { timeout: 5000 }).toBe(false);
      expect(await statuses(randomUUID())).toEqual(granted(6));
      const minting = await rig.member(randomUUID());
      const minted = [await mint(minting), await mint(minting), await mint(minting), await mint(minting)];
      expect(minted.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      await rig.takeCalls();
      await expectRefused(await mint(minting), "mints");
      line.mend();
      await expect.poll(() => isRedisThere(), { timeout: 10_000 }).toBe(true);
      expect(await statuses(randomUUID())).toEqual(granted(12));
    }
    expect([(await attack()).status, (await attack()).status]).toEqual([401, 401]);
    await line.close();
    await expect.poll(() => isRedisThere(), { timeout: 5000 }).toBe(false);
    expect([(await attack()).status, (await attack()).status, (await attack()).status]).toEqual([401, 401, 429]);
  });
});
