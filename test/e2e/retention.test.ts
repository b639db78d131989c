import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Verifier } from "../../src/audit/verifier.js";
import type { Config } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { writeFeedCursor } from "../../src/graphql/feed-cursor.js";
import { TestWriter } from "../fixtures/audit.js";
import { type Client, Rig } from "../fixtures/rig.js";
import { AuditEventsByIdDocument, AuditEventsDocument, IssueAccessTokenDocument } from "../generated/graphql.js";

const DAY_MS = 86_400_000;
/** More than two segments. */
const MANY = 600;
const { privateKey } = generateKeyPairSync("ed25519");
const signingKey = new Secret(privateKey.export({ format: "pem", type: "pkcs8" }).toString());

let rig: Rig;
let admin: Client;

const withRetention = (config: Config): Config => ({
  ...config,
  audit: { ...config.audit, signingKey, retentionDays: 30 },
});

beforeEach(async () => {
  rig = await Rig.start({ configure: withRetention, retentionDelayMs: 1 });
  admin = await rig.admin();
});
afterEach(() => rig.close());

/** A chain of which the first records are past their age, and the last one is not. */
async function addOldChain(): Promise<TestWriter> {
  const writer = new TestWriter("old");
  for (let number = 0; number < MANY; number++) writer.add(Date.now() - 31 * DAY_MS + number);
  writer.add(Date.now() - 29 * DAY_MS);
  const store = await rig.openStore();
  await writer.appendTo(store.audit);
  await store.close();
  return writer;
}

async function fault(): Promise<unknown> {
  const store = await rig.openStore();
  const verifier = new Verifier({ keys: () => [createPublicKey(privateKey)] });
  try {
    for await (const batch of store.auditReader.walk()) {
      for (const found of verifier.addBatch(batch)) if (found) return found;
    }
    return verifier.end();
  } finally {
    await store.close();
  }
}

const pageOf = async (after?: string) => (await admin.ask(AuditEventsDocument, { first: 100, after })).auditEvents;
const ids = async () => (await pageOf()).edges.map(({ node }) => node.id);
const metrics = async () => await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();

describe("a gateway that keeps records for so many days", () => {
  it("drops older ones once it runs, while it serves, and what is left is whole and can be read", async () => {
    const writer = await addOldChain();
    const cursorOfOld = (await pageOf()).pageInfo.endCursor ?? expect.fail("no cursor");
    await rig.restartGateway();
    const { issueAccessToken } = await (await rig.member()).ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    expect(issueAccessToken.accessToken).not.toBeNull();
    await expect.poll(metrics).toContain(`gateway_audit_dropped_total ${MANY}\n`);
    const left = await ids();
    expect(left).toContain(writer.idAt(MANY));
    expect(left).not.toContain(writer.idAt(MANY - 1));
    expect(await fault()).toBeUndefined();
    // Who was in the middle of them comes to their end.
    expect((await pageOf(cursorOfOld)).edges).toEqual([]);
    const { nodes } = await admin.ask(AuditEventsByIdDocument, { ids: [writer.idAt(0), writer.idAt(MANY)] });
    expect(nodes).toMatchObject([null, { id: writer.idAt(MANY) }]);
  });

  it("keeps them where the chain is not whole, says which record that is, and serves on", async () => {
    const writer = await addOldChain();
    await rig.ask("update audit_events set request_id = 'edited' where id = 'aud_old_000000000002'");
    await rig.restartGateway();
    await expect.poll(metrics).toContain("gateway_audit_kept_total 1\n");
    expect(rig.logLines.join("")).toContain(writer.idAt(1));
    expect(await rig.ask("select id from audit_events where writer = 'old'")).toHaveLength(MANY + 1);
    expect((await pageOf()).edges.length).toBeGreaterThan(0);
  });

  it("refuses to follow from before what it keeps, and names the argument", async () => {
    const after = writeFeedCursor({ since: Date.now() - 31 * DAY_MS, seen: new Map() });
    const answer = await fetch(`${rig.gateway.url}/graphql`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "text/event-stream",
        authorization: `Bearer ${admin.token}`,
      },
      body: JSON.stringify({
        query: "subscription ($after: String) { auditEventAdded(after: $after) { cursor } }",
        variables: { after },
      }),
    });
    const [, event] = /^data: ?(.+)$/m.exec(await answer.text()) ?? [];
    expect(JSON.parse(event ?? "{}")).toMatchObject({
      errors: [{ extensions: { code: "BAD_USER_INPUT", argument: "after" } }],
    });
  });
});
