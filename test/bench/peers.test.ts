import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { issueRequest, whyNotWhole } from "../../bench/issuing.js";
import { type Outside, startOutside } from "../../bench/outside.js";
import { builtProgram } from "../../bench/programs.js";
import { ServerProcess } from "../../bench/server.js";
import { PEERS } from "../../bench/suites/peers.js";

let folder: string;
let outside: Outside;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-peers-test-"));
  outside = await startOutside({ folder, users: ["alice", "bob"] });
});
afterAll(async () => {
  await outside.close();
  rmSync(folder, { recursive: true });
});

async function ask(url: string, token: string, options?: { forceNew: boolean }) {
  const response = await fetch(url, { method: "POST", ...issueRequest(token, options) });
  return { status: response.status, body: await response.text() };
}

interface Body {
  readonly data: {
    readonly issueAccessToken: { readonly accessToken: { token: string; identity: { communicationUserId: string } } };
  };
}

function issuedIn({ body }: { body: string }) {
  const { token, identity } = (JSON.parse(body) as Body).data.issueAccessToken.accessToken;
  const [, claims = ""] = token.split(".");
  const { skypeid } = JSON.parse(Buffer.from(claims, "base64url").toString()) as { skypeid: string };
  return { token, user: identity.communicationUserId, tokensUser: `8:${skypeid}` };
}

describe("a peer does the work of the gateway", () => {
  it.each([...Object.keys(PEERS).map((name) => [name, "remembered"] as const), ["node-http", "each"] as const])(
    "%s, verification: %s",
    async (name, verification) => {
      const env = { ...outside.env, VERIFICATION: verification };
      const server = await ServerProcess.start({ name, args: [builtProgram(`peers/${name}`)], env, folder });
      try {
        await expectWork(server.url);
        await expectRefusals(server.url);
      } finally {
        await server.close();
      }
    },
  );
});

async function expectWork(url: string): Promise<void> {
  const [alice = "", bob = ""] = outside.tokens;
  const first = await ask(url, alice);
  expect(whyNotWhole(first)).toBeUndefined();
  const issued = issuedIn(first);
  expect(issued.tokensUser).toBe(issued.user);
  // From the cache.
  expect(issuedIn(await ask(url, alice))).toEqual(issued);
  const another = issuedIn(await ask(url, alice, { forceNew: true }));
  expect(another.user).toBe(issued.user);
  expect(another.token).not.toBe(issued.token);
  expect(issuedIn(await ask(url, bob)).user).not.toBe(issued.user);
}

async function expectRefusals(url: string): Promise<void> {
  const [alice = "", bob = ""] = outside.tokens;
  const forged = `${alice.slice(0, alice.lastIndexOf("."))}${bob.slice(bob.lastIndexOf("."))}`;
  for (const bad of [forged, "none"]) {
    const { status, body } = await ask(url, bad);
    expect(status).toBe(401);
    expect(body).not.toContain('"token":"');
  }
}
