import { describe, expect, it } from "vitest";
import { ClientRig } from "./client-rig.js";

const own = ClientRig.use();

describe("a document that the gateway knows", () => {
  const inMode = async (mode: "off" | "enforce", manifests: string[]) =>
    await own.rig.startAnother({
      configure: (config) => ({ ...config, graphql: { ...config.graphql, trustedDocuments: { mode, manifests } } }),
    });
  const OURS = "schema/persisted-documents.json";
  /** Of another app. */
  const OTHERS = "test/generated/persisted-documents.json";

  it.each(["off", "enforce"] as const)("is sent by its id alone, in the mode %s", async (mode) => {
    const { url } = await inMode(mode, [OURS]);
    const refresher = own.refresher({ url: `${url}/graphql`, persisted: true });
    expect(await own.rig.isActive((await refresher()).token)).toBe(true);
    const variables = { scopes: ["CHAT"] };
    expect(own.world.asked.map(({ body }) => body)).toEqual([
      { documentId: expect.stringMatching(/^sha256:[0-9a-f]{64}$/), variables },
    ]);
  });

  it("is trusted by its text, too", async () => {
    const { url } = await inMode("enforce", [OURS]);
    await own.refresher({ url: `${url}/graphql` })();
    expect(own.world.asked.map(({ body }) => Object.keys(body))).toEqual([["query", "variables"]]);
  });

  it.each<[string, string[]]>([
    ["in no manifest", []],
    ["in another app's only", [OTHERS]],
  ])("is sent as text when it is %s, and from then on", async (_, manifests) => {
    const { url } = await inMode("off", manifests);
    const refresher = own.refresher({ url: `${url}/graphql`, persisted: true });
    await refresher();
    await refresher();
    const sent = own.world.asked.map(({ body }) => Object.keys(body)[0]);
    expect(sent).toEqual(["documentId", "query", "query"]);
    expect(own.world.pauses).toEqual([]);
  });

  it.each([false, true])(
    "is refused where only others are trusted, with what the operator has to do (persisted: %s)",
    async (persisted) => {
      const { url } = await inMode("enforce", [OTHERS]);
      await expect(own.refresher({ url: `${url}/graphql`, persisted })()).rejects.toMatchObject({
        code: "BAD_REQUEST",
        retryable: false,
        message: expect.stringMatching(/trusted.*schema\/persisted-documents\.json/),
      });
      expect(own.world.asked).toHaveLength(persisted ? 2 : 1);
    },
  );
});
