import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { TEST_REDIS_URL, WHY_SKIPPED } from "../fixtures/redis.js";
import { type Instance, Rig } from "../fixtures/rig.js";
import { IssueAccessTokenDocument } from "../generated/graphql.js";

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.start();
});
afterEach(async () => {
  await rig.close();
});

type Environment = Readonly<Record<string, string>>;

async function start(env: Environment = {}, configure?: (config: Config) => Config): Promise<Instance> {
  const all = { LIMIT_MINTS_PER_SUBJECT: "10000", ...env };
  return await rig.startAnother({ env: all, ...(configure && { configure }) });
}

async function issue(gateway: Instance, subject: string, forceNew = false): Promise<{ status: number; token: string }> {
  const client = (await rig.member(subject)).at(gateway);
  const { status, data } = await client.execute(IssueAccessTokenDocument, { scopes: ["CHAT"], forceNew });
  return { status, token: data?.issueAccessToken?.accessToken?.token ?? "none" };
}

async function rotate(key: "primary" | "secondary"): Promise<void> {
  await rig.control("POST", "/keys/rotate", { key });
}

const primaryFirst = () => ({
  ACS_CONNECTION_STRING: rig.emulator.connectionString,
  ACS_SECONDARY_CONNECTION_STRING: rig.emulator.secondaryConnectionString,
});
const secondaryFirst = () => ({
  ACS_CONNECTION_STRING: rig.emulator.secondaryConnectionString,
  ACS_SECONDARY_CONNECTION_STRING: rig.emulator.connectionString,
});

const switches = ({ logLines }: Instance) => logLines.filter((line) => line.includes("access key refused"));

async function switchesCounted({ adminUrl }: Instance): Promise<string | undefined> {
  const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
  return /^gateway_access_key_switches_total (\d+)$/m.exec(metrics)?.[1];
}

/** Asks without a pause until it is ended: returning users and new ones, each for a token of its own. */
function traffic(gateways: readonly Instance[]) {
  const asked: { afterRotation: boolean; status: number; token: string }[] = [];
  let rotated = false;
  let ended = false;
  const ask = async (gateway: Instance, name: string) => {
    for (let count = 0; !ended; count++) {
      const afterRotation = rotated;
      const subject = count % 3 === 0 ? `${name}-${count}` : name;
      asked.push({ afterRotation, ...(await issue(gateway, subject, true)) });
    }
  };
  const asking = gateways.flatMap((gateway, index) =>
    ["a", "b", "c", "d"].map((who) => ask(gateway, `${who}${index}`)),
  );
  const seen = (count: number) => expect.poll(() => asked.length, { timeout: 10_000 }).toBeGreaterThan(count);
  return {
    asked,
    flows: async () => await seen(asked.length + 40),
    rotation: () => {
      rotated = true;
    },
    end: async () => {
      ended = true;
      await Promise.all(asking);
    },
  };
}

describe("an access key that is made anew at the service under traffic", () => {
  it.each([1, 2])("costs no request of %i gateways, and gives nobody a dead token from then on", async (count) => {
    const gateways: Instance[] = [];
    while (gateways.length < count) gateways.push(await start(primaryFirst()));
    const load = traffic(gateways);
    await load.flows();
    await rotate("primary");
    load.rotation();
    await load.flows();
    await load.end();

    expect(new Set(load.asked.map(({ status }) => status))).toEqual(new Set([200]));
    const after = load.asked.filter(({ afterRotation }) => afterRotation);
    expect(after.length).toBeGreaterThan(20);
    for (const { token } of after) expect(await rig.isActive(token)).toBe(true);
    for (const gateway of gateways) {
      expect(switches(gateway)).toEqual([expect.stringContaining('"inUse":"acs.secondaryConnectionString"')]);
      expect(await switchesCounted(gateway)).toBe("1");
    }
  });

  it("makes no second identity of a first token's create, which the service had refused", async () => {
    const gateway = await start(primaryFirst());
    await rotate("primary");
    const issued = await Promise.all(["a", "b", "c"].map((subject) => issue(gateway, subject)));
    expect(issued.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(await rig.identitiesAtService()).toBe(3);
  });

  it("is left for the other one, and needs the new ones in place once both were made anew", async () => {
    const gateway = await start(primaryFirst());
    await rotate("primary");
    expect(await issue(gateway, "alice")).toMatchObject({ status: 200 });
    // Neither key of the configuration is good any more until the gateway gets the new ones.
    await rotate("secondary");
    expect(await issue(gateway, "alice", true)).toMatchObject({ status: 503 });
    const next = await start(primaryFirst());
    expect(await issue(next, "alice")).toMatchObject({ status: 200 });
    await rotate("primary");
    expect(await issue(next, "alice", true)).toMatchObject({ status: 200 });
    expect(switches(gateway)).toHaveLength(1);
    expect(switches(next)).toHaveLength(1);
  });

  it("is 503 with one key, after one call, as is a resource that refuses both after two", async () => {
    const one = await start();
    const both = await start(primaryFirst());
    await rotate("primary");
    await rotate("secondary");
    expect(await issue(one, "alice")).toMatchObject({ status: 503 });
    expect(await rig.takeCalls()).toEqual({ createIdentity: 1 });
    expect(await issue(both, "bob")).toMatchObject({ status: 503 });
    expect(await rig.takeCalls()).toEqual({ createIdentity: 2 });
    expect(await switchesCounted(both)).toBe("0");
  });
});

describe("tokens in the cache", () => {
  it("go with the access key that they were made with, once the gateway knows that it is refused", async () => {
    const gateway = await start(primaryFirst());
    const old = await issue(gateway, "alice");
    expect(await issue(gateway, "alice")).toEqual(old);
    await rotate("primary");
    expect(await rig.isActive(old.token)).toBe(false);
    // Anybody's call tells.
    await issue(gateway, "bob");
    const fresh = await issue(gateway, "alice");
    expect(fresh.status).toBe(200);
    expect(await rig.isActive(fresh.token)).toBe(true);
    expect(await issue(gateway, "alice")).toEqual(fresh);
  });
});

describe.skipIf(!TEST_REDIS_URL)(`gateways that share a Redis${WHY_SKIPPED}`, () => {
  const REDIS_URL = TEST_REDIS_URL ?? "";

  /** Of the same token, whoever is asked; Redis is not waited for at the start. */
  async function expectShared(first: Instance, second: Instance, subject: string): Promise<void> {
    await expect
      .poll(async () => (await issue(first, subject)).token === (await issue(second, subject)).token)
      .toBe(true);
  }

  it("rotate both access keys one after the other, and hand out no token of a key that was rotated", async () => {
    const shared = { REDIS_URL };
    const [one, two] = [await start({ ...primaryFirst(), ...shared }), await start({ ...primaryFirst(), ...shared })];
    await expectShared(one, two, "alice");
    const byPrimary = await issue(one, "alice");

    // As planned: the other key is put first, and what was made with the old one is not handed out any more.
    const [three, four] = [
      await start({ ...secondaryFirst(), ...shared }),
      await start({ ...secondaryFirst(), ...shared }),
    ];
    await expectShared(three, four, "alice");
    const bySecondary = await issue(three, "alice");
    expect(bySecondary.token).not.toBe(byPrimary.token);
    await rotate("primary");
    expect(await rig.isActive(bySecondary.token)).toBe(true);
    expect(await issue(four, "alice")).toEqual(bySecondary);
    expect([...switches(three), ...switches(four)]).toEqual([]);

    // The new primary key is put in place, and then the secondary is rotated under gateways that use it.
    const [five, six] = [
      await start({ ...secondaryFirst(), ...shared }),
      await start({ ...secondaryFirst(), ...shared }),
    ];
    await expectShared(five, six, "alice");
    await rotate("secondary");
    for (const gateway of [five, six]) {
      await issue(gateway, "bob", true);
      const { status, token } = await issue(gateway, "alice");
      expect({ status, active: await rig.isActive(token) }).toEqual({ status: 200, active: true });
      expect(switches(gateway)).toHaveLength(1);
    }
    await expectShared(five, six, "alice");
  });

  it("rotate the cache keys without a token lost, and read nothing without the key", async () => {
    const [oldKey, newKey] = [randomBytes(32).toString("base64"), randomBytes(32).toString("base64")];
    const startWith = async (...keys: string[]) =>
      await start({ REDIS_URL }, (config) => ({
        ...config,
        tokens: { ...config.tokens, cacheKeys: keys.map((key) => new Secret(key)) },
      }));
    const before = await startWith(oldKey);
    const during = await startWith(newKey, oldKey);
    const after = await startWith(newKey);

    await expectShared(before, during, "alice");
    const sealedByOld = await issue(before, "alice");
    expect(await issue(during, "alice")).toEqual(sealedByOld);
    // Whoever has dropped the old key makes a new token, which those in the middle can read.
    await expectShared(after, during, "alice");
    const sealedByNew = await issue(after, "alice");
    expect(sealedByNew.token).not.toBe(sealedByOld.token);
    expect(await issue(during, "alice")).toEqual(sealedByNew);

    // What the middle ones write is under the new key, so that the old one can be dropped.
    const made = await issue(during, "bob");
    expect(await issue(after, "bob")).toEqual(made);
    const unreadable = await issue(before, "bob");
    expect(unreadable.status).toBe(200);
    expect(unreadable.token).not.toBe(made.token);
  });
});
