import { randomUUID } from "node:crypto";
import { type AddressInfo, createConnection, createServer } from "node:net";
import { performance } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { FaultyLine, redisUrl, removeKeys, TEST_REDIS_URL, TestRedis, WHY_SKIPPED } from "../fixtures/redis.js";

/** Less than the time-out of a command, so it was not that. */
const AT_ONCE_MS = 200;
/** The time-out of a command and some for a busy machine. */
const SOON_MS = 900;

async function failsWithin(limit: number, work: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  await expect(work()).rejects.toThrow();
  expect(performance.now() - start).toBeLessThan(limit);
}

describe("a Redis that is not there", () => {
  let redis: TestRedis;
  beforeEach(() => {
    // Port 9 is for discarding, and nothing listens on it.
    redis = new TestRedis("redis://:hidden-password@127.0.0.1:9");
  });
  afterEach(async () => {
    await redis.close();
  });

  it("makes commands fail at once, also those sent while the first connection is tried", async () => {
    await failsWithin(AT_ONCE_MS, () => redis.connection.client.get("a"));
    await expect.poll(() => redis.outages).toEqual(["lost"]);
    await failsWithin(AT_ONCE_MS, () => redis.connection.client.get("a"));
  });

  it("is reported once, however often the connection is tried", async () => {
    let attempts = 0;
    redis.connection.client.on("connecting", () => attempts++);
    await expect.poll(() => attempts, { timeout: 5000 }).toBeGreaterThan(3);
    expect(redis.outages).toEqual(["lost"]);
  });

  it("fails the check, with the reason and without the password", async () => {
    await expect.poll(() => redis.outages).toEqual(["lost"]);
    const message = await redis.connection.check().then(
      () => "",
      (error: Error) => error.message,
    );
    expect(message).toMatch(/not connected .*ECONNREFUSED/);
    expect(message).not.toContain("hidden-password");
  });

  it("lets the connection be closed, and is not tried again", async () => {
    await redis.close();
    await expect.poll(() => redis.connection.client.status).toBe("end");
    await failsWithin(AT_ONCE_MS, () => redis.connection.client.get("a"));
    await redis.close();
  });
});

describe.skipIf(!TEST_REDIS_URL)(`the connection to Redis${WHY_SKIPPED}`, () => {
  let line: FaultyLine;
  let redis: TestRedis;
  beforeEach(async () => {
    line = await FaultyLine.open();
    redis = await new TestRedis(redisUrl(line.port)).ready();
  });
  afterEach(async () => {
    await redis.close();
    await line.close();
    await removeKeys(redis.prefix);
  });

  it("passes the check, and has no outage to report", async () => {
    await redis.connection.check();
    expect(redis.outages).toEqual([]);
  });

  it("fails at once while it is cut, heals by itself, and says each once", async () => {
    for (const outage of [1, 2]) {
      line.cut();
      await expect.poll(() => redis.connection.client.status).not.toBe("ready");
      await failsWithin(AT_ONCE_MS, () => redis.connection.client.get("a"));
      await failsWithin(AT_ONCE_MS, () => redis.connection.check());
      line.mend();
      await redis.ready();
      await redis.connection.client.set("a", `${outage}`, "PX", 10_000);
      expect(redis.outages).toHaveLength(2 * outage);
    }
    expect(redis.outages).toEqual(["lost", "back", "lost", "back"]);
  });

  it("rejects what was under way when it is cut, and does not send it again", async () => {
    const { client } = redis.connection;
    await client.set("count", "0", "PX", 10_000);
    line.stall();
    const lost = client.incr("count");
    line.cut();
    await expect(lost).rejects.toThrow();
    line.mend();
    await redis.ready();
    expect(await client.get("count")).toBe("0");
  });

  it("fails soon while it is stalled, gives the dead connection up, and heals", async () => {
    line.stall();
    await failsWithin(SOON_MS, () => redis.connection.client.get("a"));
    await failsWithin(SOON_MS, () => redis.connection.check());
    // Traffic, which keeps a socket from being idle, must not keep a dead one alive.
    const traffic = setInterval(() => redis.connection.client.get("a").catch(() => {}), 50);
    await expect.poll(() => redis.outages, { timeout: 5000 }).toEqual(["lost"]);
    line.mend();
    await expect.poll(() => redis.outages, { timeout: 10_000 }).toEqual(["lost", "back"]);
    clearInterval(traffic);
    await redis.connection.check();
  });

  it("stays the same through an idle time: silence alone is no fault", async () => {
    await setTimeout(1500);
    await redis.connection.check();
    expect(redis.outages).toEqual([]);
  });

  it("does not report its own closing as an outage", async () => {
    await redis.close();
    await expect.poll(() => redis.connection.client.status).toBe("end");
    expect(redis.outages).toEqual([]);
  });
});

describe.skipIf(!TEST_REDIS_URL)(`a database of Redis that cannot be used${WHY_SKIPPED}`, () => {
  const name = `test-${randomUUID()}`;
  let admin: Redis;
  let redis: TestRedis;
  beforeEach(async () => {
    admin = new Redis(redisUrl());
    await admin.call("acl", "setuser", name, "on", ">secret", "~*", "&*", "+@all", "-select");
    const url = new URL(redisUrl());
    [url.username, url.password, url.pathname] = [name, "secret", "/1"];
    redis = new TestRedis(url.href);
  });
  afterEach(async () => {
    await redis.close();
    await admin.call("acl", "deluser", name);
    admin.disconnect();
  });

  /** Before Redis: whose end of a connection comes long after ours, and what it says a little after it was said. */
  async function slowLine(): Promise<{ port: number; connections: () => number }> {
    let connections = 0;
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      connections += 1;
      const { hostname, port } = new URL(redisUrl());
      const redis = createConnection({ host: hostname, port: Number(port), allowHalfOpen: true });
      socket.on("data", (data) => redis.write(data));
      redis.on("data", (data) => void setTimeout(60).then(() => socket.writable && socket.write(data)));
      socket.on("end", () => void setTimeout(1500).then(() => socket.destroy()));
      socket.on("close", () => redis.destroy());
      for (const each of [socket, redis]) each.on("error", () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    return { port: (server.address() as AddressInfo).port, connections: () => connections };
  }

  it("is tried again when the connection to it takes its time to end", async () => {
    const { port } = await slowLine();
    const slow = new TestRedis(`redis://${name}:secret@127.0.0.1:${port}/1`);
    onTestFinished(() => slow.close());
    await expect.poll(() => slow.outages).toEqual(["lost"]);
    await admin.call("acl", "setuser", name, "+select");
    await expect.poll(() => slow.outages, { timeout: 10_000 }).toEqual(["lost", "back"]);
  });

  it("is not tried again once the gateway has closed", async () => {
    const { port, connections } = await slowLine();
    const slow = new TestRedis(`redis://${name}:secret@127.0.0.1:${port}/1`);
    await expect.poll(() => slow.outages).toEqual(["lost"]);
    await slow.close();
    // Longer than what is waited for before the next one.
    await setTimeout(3500);
    expect(connections()).toBe(1);
  });

  it("is an outage, and no other is used in its place; once it may be used, it is", async () => {
    const { client } = redis.connection;
    let attempts = 0;
    client.on("connecting", () => attempts++);
    const trying = setInterval(() => void client.set("a", "b").catch(() => {}), 1);
    await expect.poll(() => attempts, { timeout: 5000 }).toBeGreaterThan(1);
    expect(redis.outages).toEqual(["lost"]);
    await expect(redis.connection.check()).rejects.toThrow(/not connected \(NOPERM .*select/);
    clearInterval(trying);
    expect(await admin.exists(`${redis.prefix}a`)).toBe(0);
    await admin.call("acl", "setuser", name, "+select");
    await expect.poll(() => redis.outages, { timeout: 5000 }).toEqual(["lost", "back"]);
    expect(await client.set("a", "b")).toBe("OK");
    expect(await admin.exists(`${redis.prefix}a`)).toBe(0);
    await client.del("a");
  });
});
