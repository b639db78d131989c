import { expect } from "vitest";
import type { Reply, Rig } from "../fixtures/rig.js";

export const JSON_TYPE = { "content-type": "application/json" };
/** An attack that gets through would make the service mint a token. */
export const ISSUE = JSON.stringify({
  query: "mutation { issueAccessToken(input: { scopes: [CHAT], forceNew: true }) { accessToken { token } } }",
});

const MAX_REFUSAL_BYTES = 2048;

/** Sends the request for a token with these credentials. */
export async function attack(
  rig: Rig,
  authorization: string,
  more: Record<string, string> = {},
): Promise<Reply<unknown>> {
  return await rig.post(ISSUE, { ...JSON_TYPE, authorization, ...more });
}

interface Refusal {
  readonly status: number;
  readonly code: string;
}

/** What every refusal has in common: the stated answer, in few words, and the service was not asked. */
export async function expectRefused(rig: Rig, reply: Reply<unknown>, { status, code }: Refusal): Promise<void> {
  expect(reply).toMatchObject({ status, errors: [{ extensions: { code } }] });
  expect(reply.data ?? null).toBeNull();
  expect(reply.text.length).toBeLessThan(MAX_REFUSAL_BYTES);
  expect(reply.headers.get("cache-control")).toBe("no-store");
  expect(await rig.takeCalls()).toEqual({});
}

/** The one answer to everybody who is not let in, whatever the reason. */
export async function expectUnauthenticated(rig: Rig, reply: Reply<unknown>): Promise<void> {
  await expectRefused(rig, reply, { status: 401, code: "UNAUTHENTICATED" });
  expect(reply.text).toBe((await rig.post(ISSUE, JSON_TYPE)).text);
}

/** The next good request works, and asks the service. */
export async function expectLetIn(rig: Rig, reply: Reply<unknown>): Promise<void> {
  expect(reply).toMatchObject({ status: 200, errors: undefined });
  expect(Object.keys(await rig.takeCalls())).toHaveLength(1);
}
