import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { FaultyLine, redisUrl, TEST_REDIS_URL, WHY_SKIPPED } from "../fixtures/redis.js";
import { IS_ON_SQLITE, Rig } from "../fixtures/rig.js";
import { IssueAccessTokenDocument } from "../generated/graphql.js";

interface Ready {
  readonly dependencies: readonly { readonly name: string; readonly ok: boolean; readonly optional?: boolean }[];
}

let rig: Rig;
afterEach(async () => {
  await rig.close();
});

const withRedis = (url: string) => (config: Config) => ({ ...config, redis: { url: new Secret(url) } });

/** Whether the gateway is ready, and whether it says that Redis is there. */
async function ready(): Promise<{ status: number; redis: boolean | undefined }> {
  const response = await fetch(`${rig.gateway.url}/health/ready`);
  const { dependencies } = (await response.json()) as Ready;
  const redis = dependencies.find(({ name, optional }) => name === "redis" && optional);
  return { status: response.status, redis: redis?.ok };
}

const logged = (message: string) => rig.logLines.filter((line) => line.includes(`"${message}"`)).length;

describe("a gateway whose Redis is down at the start", () => {
  it("starts, is ready, issues, and says once what is missing without the password", async () => {
    rig = await Rig.start({ configure: withRedis("redis://:hidden-password@127.0.0.1:9") });
    expect(await ready()).toEqual({ status: 200, redis: false });
    expect(await (await rig.member()).execute(IssueAccessTokenDocument, { scopes: ["CHAT"] })).toMatchObject({
      status: 200,
    });
    expect(logged("redis lost")).toBe(1);
    expect(rig.logLines.join()).not.toContain("hidden-password");
  });
});

describe.skipIf(IS_ON_SQLITE)("a gateway on a shared database without Redis", () => {
  it("says at the start that it shares neither limits nor used proofs", async () => {
    rig = await Rig.start();
    expect(logged("without redis.url, limits, used DPoP proofs and the token cache are each instance's own")).toBe(1);
  });
});

describe.runIf(IS_ON_SQLITE)("a gateway without Redis", () => {
  it("names no Redis among what it depends on, and makes its keys beside the database", async () => {
    rig = await Rig.start();
    expect(await ready()).toEqual({ status: 200, redis: undefined });
    expect(existsSync(join(rig.folder, "keys.json"))).toBe(true);
  });
});

describe.skipIf(!TEST_REDIS_URL)(`a gateway whose Redis goes and comes back${WHY_SKIPPED}`, () => {
  it("says so, stays ready, and recovers by itself", async () => {
    const line = await FaultyLine.open();
    rig = await Rig.start({ configure: withRedis(redisUrl(line.port)) });
    await expect.poll(ready, { timeout: 5000 }).toEqual({ status: 200, redis: true });
    line.cut();
    await expect.poll(ready, { timeout: 5000 }).toEqual({ status: 200, redis: false });
    line.mend();
    await expect.poll(ready, { timeout: 5000 }).toEqual({ status: 200, redis: true });
    expect([logged("redis lost"), logged("redis back")]).toEqual([1, 1]);
    await line.close();
  });
});
