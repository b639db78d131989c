import { describe, expect, it, onTestFinished } from "vitest";
import type { Config } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { DpopClient } from "../fixtures/dpop.js";
import { FaultyLine, redisUrl, TEST_REDIS_URL, WHY_SKIPPED } from "../fixtures/redis.js";
import { Rig } from "../fixtures/rig.js";
import { attack, expectLetIn, expectRefused, expectUnauthenticated, ISSUE, JSON_TYPE } from "./attack.js";

const PUBLIC_URL = "https://tokens.example.com";
const URI = `${PUBLIC_URL}/graphql`;
const SHARED_KEY = new Secret(Buffer.alloc(32, 7).toString("base64"));

async function startRig(changes: (config: Config) => Partial<Config>): Promise<Rig> {
  const rig = await Rig.start({
    configure: (config) => ({ ...config, server: { ...config.server, publicUrl: PUBLIC_URL }, ...changes(config) }),
  });
  onTestFinished(() => rig.close());
  return rig;
}

describe("a replay store that is full", () => {
  it("is 503, not a pass, and one user fills no more than a quarter of it", async () => {
    const rig = await startRig(() => ({ auth: { rememberedTokens: 10, rememberedProofs: 8 } }));
    const client = new DpopClient();
    const token = await rig.issuer.sign("alice", { claims: await client.confirmation() });
    const send = () => attack(rig, `DPoP ${token}`, { dpop: client.proof(token, URI) });
    await expectLetIn(rig, await send());
    await expectLetIn(rig, await send());
    await expectRefused(rig, await send(), { status: 503, code: "STORE_UNAVAILABLE" });
    const other = new DpopClient();
    const bobs = await rig.issuer.sign("bob", { claims: await other.confirmation() });
    await expectLetIn(rig, await attack(rig, `DPoP ${bobs}`, { dpop: other.proof(bobs, URI) }));
    await expectLetIn(rig, await attack(rig, `Bearer ${await rig.issuer.sign("alice")}`));
  });
});

describe.skipIf(!TEST_REDIS_URL)(`a replay store in Redis${WHY_SKIPPED}`, () => {
  it("lets a proof in once, whichever instance it comes to", async () => {
    const rig = await startRig(({ tokens, audit }) => ({
      redis: { url: new Secret(redisUrl()) },
      tokens: { ...tokens, cacheKeys: [SHARED_KEY] },
      audit: { ...audit, key: SHARED_KEY },
    }));
    const other = await rig.startAnother();
    const client = new DpopClient();
    const token = await rig.issuer.sign("alice", { claims: await client.confirmation() });
    const proofs = Array.from({ length: 10 }, () => client.proof(token, URI));
    const send = async (url: string, dpop: string) => {
      const headers = { ...JSON_TYPE, authorization: `DPoP ${token}`, dpop };
      return (await fetch(`${url}/graphql`, { method: "POST", headers, body: ISSUE })).status;
    };
    await expect.poll(() => send(other.url, client.proof(token, URI)), { timeout: 5000 }).toBe(200);
    for (const proof of proofs) {
      const statuses = await Promise.all([rig.gateway.url, other.url].map((url) => send(url, proof)));
      expect(statuses.sort()).toEqual([200, 401]);
    }
  });

  it("that is down or silent is 503, not a pass, and works again when it is back; bearer tokens go on", async () => {
    const line = await FaultyLine.open();
    onTestFinished(() => line.close());
    const rig = await startRig(() => ({ redis: { url: new Secret(redisUrl(line.port)) } }));
    const client = new DpopClient();
    const token = await rig.issuer.sign("alice", { claims: await client.confirmation() });
    const bearer = await rig.issuer.sign("alice");
    const send = (proof = client.proof(token, URI)) => attack(rig, `DPoP ${token}`, { dpop: proof });
    const statusOf = async () => (await send()).status;
    await expect.poll(statusOf, { timeout: 5000 }).toBe(200);
    const used = client.proof(token, URI);
    expect((await send(used)).status).toBe(200);
    for (const breakIt of [() => line.cut(), () => line.stall()]) {
      await rig.takeCalls();
      breakIt();
      const reply = await send();
      await expectRefused(rig, reply, { status: 503, code: "STORE_UNAVAILABLE" });
      expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
      await expectRefused(rig, await send(used), { status: 503, code: "STORE_UNAVAILABLE" });
      await expectLetIn(rig, await attack(rig, `Bearer ${bearer}`));
      line.mend();
      await expect.poll(statusOf, { timeout: 10_000 }).toBe(200);
      await rig.takeCalls();
      await expectUnauthenticated(rig, await send(used));
    }
  });
});
