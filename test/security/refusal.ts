import { expect } from "vitest";
import type { Client, Reply, Rig } from "../fixtures/rig.js";
import { ViewerDocument } from "../generated/graphql.js";

/** What every refusal has in common: its status and code, few words, nothing asked of the service, and no harm done. */
export async function expectRefusal(
  { rig, client }: { rig: Rig; client: Client },
  reply: Reply<unknown>,
  code: string,
): Promise<void> {
  expect(reply.status).toBe(400);
  expect(reply.data ?? null).toBeNull();
  const extensions = reply.errors?.map((error) => error.extensions) ?? [];
  expect(extensions.slice(0, 1)).toMatchObject([{ code, retryable: false }]);
  expect(extensions.length).toBeLessThanOrEqual(3);
  expect(Buffer.byteLength(reply.text)).toBeLessThan(2048);
  expect(await rig.takeCalls()).toEqual({});
  expect(await client.execute(ViewerDocument)).toMatchObject({ status: 200, errors: undefined });
}
