import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SingleUse } from "../../src/shared/single-use.js";

interface OpenedSingleUse {
  readonly used: SingleUse;
  /** Lets this much time pass for it. */
  pass(milliseconds: number): Promise<void>;
  close(): Promise<void>;
}

/** What every record of used texts must do. */
export function singleUseConformance(name: string, open: () => Promise<OpenedSingleUse>): void {
  describe(`single use in ${name}`, () => {
    let opened: OpenedSingleUse;
    let used: SingleUse;
    beforeAll(async () => {
      opened = await open();
      used = opened.used;
    });
    afterAll(async () => {
      await opened.close();
    });

    it("is the first claim, and no other, whatever the key's text", async () => {
      for (const key of [randomUUID(), `${randomUUID()}:*?[a]\n\0é`, `${randomUUID()}${"x".repeat(1000)}`]) {
        expect([await used.claim(key, 60_000, "alice"), await used.claim(key, 60_000, "alice")]).toEqual([true, false]);
      }
    });

    it("is one of a hundred claims at the same time", async () => {
      const key = randomUUID();
      const claims = await Promise.all(Array.from({ length: 100 }, () => used.claim(key, 60_000, "alice")));
      expect(claims.filter(Boolean)).toHaveLength(1);
    });

    it("is over when its time is up, and not before; later claims do not prolong it", async () => {
      const key = randomUUID();
      expect(await used.claim(key, 1500, "alice")).toBe(true);
      await opened.pass(100);
      expect(await used.claim(key, 60_000, "alice")).toBe(false);
      await opened.pass(1400);
      expect(await used.claim(key, 60_000, "alice")).toBe(true);
    });
  });
}
