import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Secret } from "../../src/config/secret.js";
import { claimRedisDatabase } from "../faults/redis-database.js";
import { Fleet, type FleetGateway } from "../fixtures/fleet.js";
import { TEST_REDIS_URL, WHY_SKIPPED } from "../fixtures/redis.js";

let fleet: Fleet;
beforeEach(async () => {
  fleet = await Fleet.open();
});
afterEach(async () => {
  await fleet.close();
});

const primaryFirst = () => ({
  ACS_CONNECTION_STRING: fleet.emulator.connectionString,
  ACS_SECONDARY_CONNECTION_STRING: fleet.emulator.secondaryConnectionString,
});
const secondaryFirst = () => ({
  ACS_CONNECTION_STRING: fleet.emulator.secondaryConnectionString,
  ACS_SECONDARY_CONNECTION_STRING: fleet.emulator.connectionString,
});

const switches = ({ logLines }: FleetGateway) => logLines.filter((line) => line.includes("access key refused"));

async function switchesCounted({ adminUrl }: FleetGateway): Promise<string | undefined> {
  const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
  return /^gateway_access_key_switches_total (\d+)$/m.exec(metrics)?.[1];
}

/** Asks without a pause until it is ended: returning users and new ones, each for a token of its own. */
function traffic(gateways: readonly FleetGateway[]) {
  const asked: { afterRotation: boolean; status: number; token: string }[] = [];
  let rotated = false;
  let ended = false;
  const ask = async (gateway: FleetGateway, name: string) => {
    for (let count = 0; !ended; count++) {
      const afterRotation = rotated;
      const subject = count % 3 === 0 ? `${name}-${count}` : name;
      asked.push({ afterRotation, ...(await fleet.issue(gateway, subject, true)) });
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
    const gateways: FleetGateway[] = [];
    while (gateways.length < count) gateways.push(await fleet.start(primaryFirst()));
    const load = traffic(gateways);
    await load.flows();
    await fleet.rotate("primary");
    load.rotation();
    await load.flows();
    await load.end();

    expect(new Set(load.asked.map(({ status }) => status))).toEqual(new Set([200]));
    const after = load.asked.filter(({ afterRotation }) => afterRotation);
    expect(after.length).toBeGreaterThan(20);
    for (const { token } of after) expect(await fleet.isActive(token)).toBe(true);
    for (const gateway of gateways) {
      expect(switches(gateway)).toEqual([expect.stringContaining('"inUse":"acs.secondaryConnectionString"')]);
      expect(await switchesCounted(gateway)).toBe("1");
    }
  });

  it("makes no second identity of a first token's create, which the service had refused", async () => {
    const gateway = await fleet.start(primaryFirst());
    await fleet.rotate("primary");
    const issued = await Promise.all(["a", "b", "c"].map((subject) => fleet.issue(gateway, subject)));
    expect(issued.map(({ status }) => status)).toEqual([200, 200, 200]);
    const response = await fetch(`${fleet.emulator.endpoint}_emulator/identities`);
    expect(await response.json()).toMatchObject({ total: 3 });
  });

  it("is left for the other one, and needs the new ones in place once both were made anew", async () => {
    const gateway = await fleet.start(primaryFirst());
    await fleet.rotate("primary");
    expect(await fleet.issue(gateway, "alice")).toMatchObject({ status: 200 });
    // Neither key of the configuration is good any more until the gateway gets the new ones.
    await fleet.rotate("secondary");
    expect(await fleet.issue(gateway, "alice", true)).toMatchObject({ status: 503 });
    const next = await fleet.start(primaryFirst());
    expect(await fleet.issue(next, "alice")).toMatchObject({ status: 200 });
    await fleet.rotate("primary");
    expect(await fleet.issue(next, "alice", true)).toMatchObject({ status: 200 });
    expect(switches(gateway)).toHaveLength(1);
    expect(switches(next)).toHaveLength(1);
  });

  it("is 503 with one key, after one call, as is a resource that refuses both after two", async () => {
    const one = await fleet.start();
    const both = await fleet.start(primaryFirst());
    await fleet.rotate("primary");
    await fleet.rotate("secondary");
    const before = (await fleet.calls()).createIdentity ?? 0;
    expect(await fleet.issue(one, "alice")).toMatchObject({ status: 503 });
    expect((await fleet.calls()).createIdentity).toBe(before + 1);
    expect(await fleet.issue(both, "bob")).toMatchObject({ status: 503 });
    expect((await fleet.calls()).createIdentity).toBe(before + 3);
    expect(await switchesCounted(both)).toBe("0");
  });
});

describe("tokens in the cache", () => {
  it("go with the access key that they were made with, once the gateway knows that it is refused", async () => {
    const gateway = await fleet.start(primaryFirst());
    const old = await fleet.issue(gateway, "alice");
    expect(await fleet.issue(gateway, "alice")).toEqual(old);
    await fleet.rotate("primary");
    expect(await fleet.isActive(old.token)).toBe(false);
    // Anybody's call tells.
    await fleet.issue(gateway, "bob");
    const fresh = await fleet.issue(gateway, "alice");
    expect(fresh.status).toBe(200);
    expect(await fleet.isActive(fresh.token)).toBe(true);
    expect(await fleet.issue(gateway, "alice")).toEqual(fresh);
  });
});

describe.skipIf(!TEST_REDIS_URL)(`gateways that share a Redis${WHY_SKIPPED}`, () => {
  let redis: Awaited<ReturnType<typeof claimRedisDatabase>>;
  beforeEach(async () => {
    redis = await claimRedisDatabase(TEST_REDIS_URL ?? "");
  });
  afterEach(async () => {
    await redis.release();
  });

  /** Of the same token, whoever is asked; Redis is not waited for at the start. */
  async function expectShared(first: FleetGateway, second: FleetGateway, subject: string): Promise<void> {
    await expect
      .poll(async () => (await fleet.issue(first, subject)).token === (await fleet.issue(second, subject)).token)
      .toBe(true);
  }

  it("rotate both access keys one after the other, and hand out no token of a key that was rotated", async () => {
    const shared = { REDIS_URL: redis.url, TOKEN_CACHE_KEY: redis.key };
    const [one, two] = [
      await fleet.start({ ...primaryFirst(), ...shared }),
      await fleet.start({ ...primaryFirst(), ...shared }),
    ];
    await expectShared(one, two, "alice");
    const byPrimary = await fleet.issue(one, "alice");

    // As planned: the other key is put first, and what was made with the old one is not handed out any more.
    const [three, four] = [
      await fleet.start({ ...secondaryFirst(), ...shared }),
      await fleet.start({ ...secondaryFirst(), ...shared }),
    ];
    await expectShared(three, four, "alice");
    const bySecondary = await fleet.issue(three, "alice");
    expect(bySecondary.token).not.toBe(byPrimary.token);
    await fleet.rotate("primary");
    expect(await fleet.isActive(bySecondary.token)).toBe(true);
    expect(await fleet.issue(four, "alice")).toEqual(bySecondary);
    expect([...switches(three), ...switches(four)]).toEqual([]);

    // The new primary key is put in place, and then the secondary is rotated under gateways that use it.
    const [five, six] = [
      await fleet.start({ ...secondaryFirst(), ...shared }),
      await fleet.start({ ...secondaryFirst(), ...shared }),
    ];
    await expectShared(five, six, "alice");
    await fleet.rotate("secondary");
    for (const gateway of [five, six]) {
      await fleet.issue(gateway, "bob", true);
      const { status, token } = await fleet.issue(gateway, "alice");
      expect({ status, active: await fleet.isActive(token) }).toEqual({ status: 200, active: true });
      expect(switches(gateway)).toHaveLength(1);
    }
    await expectShared(five, six, "alice");
  });

  it("rotate the cache keys without a token lost, and read nothing without the key", async () => {
    const [oldKey, newKey] = [redis.key, randomBytes(32).toString("base64")];
    const startWith = async (...keys: string[]) =>
      await fleet.start({ REDIS_URL: redis.url }, (config) => ({
        ...config,
        tokens: { ...config.tokens, cacheKeys: keys.map((key) => new Secret(key)) },
      }));
    const before = await startWith(oldKey);
    const during = await startWith(newKey, oldKey);
    const after = await startWith(newKey);

    await expectShared(before, during, "alice");
    const sealedByOld = await fleet.issue(before, "alice");
    expect(await fleet.issue(during, "alice")).toEqual(sealedByOld);
    // Whoever has dropped the old key makes a new token, which those in the middle can read.
    await expectShared(after, during, "alice");
    const sealedByNew = await fleet.issue(after, "alice");
    expect(sealedByNew.token).not.toBe(sealedByOld.token);
    expect(await fleet.issue(during, "alice")).toEqual(sealedByNew);

    // What the middle ones write is under the new key, so that the old one can be dropped.
    const made = await fleet.issue(during, "bob");
    expect(await fleet.issue(after, "bob")).toEqual(made);
    const unreadable = await fleet.issue(before, "bob");
    expect(unreadable.status).toBe(200);
    expect(unreadable.token).not.toBe(made.token);
  });
});
