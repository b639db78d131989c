import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.js";
import { TestIssuer } from "../fixtures/issuer.js";
import { RawConnection } from "../fixtures/raw.js";
import { type Client, Rig } from "../fixtures/rig.js";
import {
  IssueAccessTokenDocument,
  type IssueAccessTokenMutationVariables,
  ProvisionIdentityDocument,
} from "../generated/graphql.js";

const AT_ONCE = 3;
const chat: IssueAccessTokenMutationVariables = { scopes: ["CHAT"] };

let rig: Rig;
let subjects = 0;

beforeAll(async () => {
  rig = await Rig.start({
    configure: (shipped) => ({ ...shipped, tokens: { ...shipped.tokens, mintsAtOnce: AT_ONCE } }),
  });
});
beforeEach(async () => {
  await rig.takeCalls();
});
afterAll(() => rig.close());

describe("what is asked of the service at once", () => {
  it("is bounded for tokens of their own and shared ones together; what does not fit is refused, to be tried again", async () => {
    const clients = await newClients(AT_ONCE + 1);
    for (const client of clients) await client.ask(IssueAccessTokenDocument, chat);
    await rig.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 1000, times: AT_ONCE });
    const [last, ...first] = clients;
    const fresh = { ...chat, lifetimeMinutes: 60 };
    const underWay = first.map((client, index) =>
      client.execute(IssueAccessTokenDocument, { ...fresh, forceNew: index === 0 }),
    );
    await untilCalled("issueAccessToken", AT_ONCE);
    await expectRefused(last, fresh);
    await expectRefused(last, { ...fresh, forceNew: true });
    // Who has a token waiting, or shares one that is being made, takes no room.
    expect(await last?.execute(IssueAccessTokenDocument, chat)).toMatchObject({ status: 200 });
    expect(await first[1]?.execute(IssueAccessTokenDocument, fresh)).toMatchObject({ status: 200 });
    for (const reply of await Promise.all(underWay)) expect(reply).toMatchObject({ status: 200, errors: undefined });
    expect(await last?.execute(IssueAccessTokenDocument, fresh)).toMatchObject({ status: 200, errors: undefined });
  });

  it("is bounded for identities; who does not fit leaves nothing behind and has one at the next try", async () => {
    const [last, ...first] = await newClients(AT_ONCE + 1);
    await rig.fault({ operation: "createIdentity", kind: "delay", delayMs: 1000, times: AT_ONCE });
    const underWay = first.map((client) => client.execute(IssueAccessTokenDocument, chat));
    await untilCalled("createIdentity", AT_ONCE);
    await expectRefused(last, chat);
    const admin = await rig.admin();
    const user = { issuer: rig.issuer.url, subject: "bounded-by-an-operator" };
    expect(await admin.execute(ProvisionIdentityDocument, { user })).toMatchObject({ status: 503 });
    for (const reply of await Promise.all(underWay)) expect(reply).toMatchObject({ status: 200, errors: undefined });
    expect(await last?.execute(IssueAccessTokenDocument, chat)).toMatchObject({ status: 200, errors: undefined });
    expect(await rig.takeCalls()).toEqual({ createIdentity: AT_ONCE + 1 });
  });
});

describe("requests that are yet to arrive", () => {
  it("keep nobody out for longer than a second", async () => {
    const narrow = (shipped: Config) => ({ ...shipped, server: { ...shipped.server, maxRequests: AT_ONCE } });
    const { url } = await rig.startAnother({ configure: narrow });
    const { token } = await rig.member("slow");
    const head = `POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\nauthorization: Bearer ${token}\r\n`;
    const slow = await Promise.all(Array.from({ length: AT_ONCE }, () => RawConnection.open(url)));
    for (const connection of slow) connection.send(`${head}content-length: 100\r\n\r\n{`);
    const body = '{"query":"{ viewer { user { subject } } }"}';
    const ask = async () => {
      const whole = `${head}connection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
      return (await RawConnection.exchange(url, whole)).slice(0, 12);
    };
    await expect.poll(ask).toBe("HTTP/1.1 503");
    expect(slow.filter(({ socket }) => socket.closed)).toEqual([]);
    await expect.poll(ask, { timeout: 5000 }).toBe("HTTP/1.1 200");
    const told = slow.map(({ received }) => received.slice(0, 12)).filter(Boolean);
    expect(new Set(told)).toEqual(new Set(["HTTP/1.1 503"]));
    for (const connection of slow) connection.close();
  });
});

describe("callers of an issuer that hangs, whose keys nobody has", () => {
  it("leave places for those of another", async () => {
    const hanging = await TestIssuer.start();
    hanging.outage = { hangs: true };
    const { url } = await rig.startAnother({
      configure: ({ issuers, server, ...shipped }) => ({
        ...shipped,
        issuers: [
          ...issuers,
          ...issuers.map((issuer) => ({ ...issuer, issuer: hanging.url, jwksUri: `${hanging.url}/jwks` })),
        ],
        server: { ...server, maxRequests: 2 * AT_ONCE },
      }),
    });
    const ask = async (token: string) => {
      const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
      return await fetch(`${url}/graphql`, { method: "POST", headers, body: '{"query":"{ __typename }"}' });
    };
    const stranger = await hanging.sign("stranger");
    const all = Array.from({ length: 2 * AT_ONCE }, () => ask(stranger));
    let told = 0;
    for (const one of all) void one.finally(() => told++);
    // Who has no place is told at once, and the others once the time for the keys is up.
    await expect.poll(() => told).toBe(AT_ONCE);
    const { token } = await rig.member("another");
    expect((await ask(token)).status).toBe(200);
    expect(told).toBe(AT_ONCE);
    expect((await Promise.all(all)).map(({ status }) => status)).toEqual(all.map(() => 503));
    await hanging.close();
  });
});

describe("documents that are well, each another one", () => {
  const MIB = 1024 * 1024;
  /** Of Apollo's own store each of either kind takes some 500 bytes, or a third of what it takes. */
  const KINDS = {
    "of white space": { times: 1000, document: (turn: number) => `{ __typename }${" ".repeat(60_000)}#${turn}` },
    "of many fields": { times: 300, document: (turn: number) => `query Ask${turn} {${" __typename".repeat(490)} }` },
  };

  it.each(Object.entries(KINDS))("%s do not fill the memory", async (_, { times, document }) => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const heap = () => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const clients = await newClients(Math.ceil(times / 500));
    const before = heap();
    for (let turn = 0; turn < times; turn++)
      expect(await clients[turn % clients.length]?.send({ query: document(turn) })).toMatchObject({ status: 200 });
    expect(heap() - before).toBeLessThan(24 * MIB);
  });
});

async function newClients(count: number): Promise<Client[]> {
  return await Promise.all(Array.from({ length: count }, () => rig.member(`bounded-${subjects++}`)));
}

async function expectRefused(client: Client | undefined, input: IssueAccessTokenMutationVariables) {
  const reply = await client?.execute(IssueAccessTokenDocument, input);
  expect(reply).toMatchObject({
    status: 503,
    errors: [{ extensions: { code: "UPSTREAM_UNAVAILABLE", retryable: true } }],
  });
  expect(Number(reply?.headers.get("retry-after"))).toBeGreaterThanOrEqual(5);
}

async function untilCalled(operation: string, times: number): Promise<void> {
  const calls = async () =>
    ((await rig.control("GET", "/calls")) as { calls: Record<string, number> }).calls[operation];
  await expect.poll(calls, { interval: 10 }).toBe(times);
}
