import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ByteCache } from "../../src/shared/byte-cache.js";

interface OpenedCache {
  readonly cache: ByteCache;
  /** Lets this much time pass for the cache. */
  pass(milliseconds: number): Promise<void>;
  close(): Promise<void>;
}

/** What every byte cache must do. */
export function byteCacheConformance(name: string, open: () => Promise<OpenedCache>): void {
  describe(`byte cache in ${name}`, () => {
    let opened: OpenedCache;
    let cache: ByteCache;
    beforeAll(async () => {
      opened = await open();
      cache = opened.cache;
    });
    afterAll(async () => {
      await opened.close();
    });

    it("has nothing under a key that was never set", async () => {
      expect(await cache.get(randomUUID())).toBeUndefined();
    });

    it.each([
      ["no byte", Buffer.alloc(0)],
      ["every byte there is", Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))],
      ["64 KB", Buffer.alloc(65_536, 0xff)],
    ])("gives back what was set, unchanged: %s", async (_, value) => {
      const key = randomUUID();
      await cache.set(key, value, 60_000);
      expect((await cache.get(key))?.equals(value)).toBe(true);
    });

    it("keeps keys apart", async () => {
      const [one, other] = [randomUUID(), randomUUID()];
      await cache.set(one, Buffer.from("1"), 60_000);
      await cache.set(other, Buffer.from("2"), 60_000);
      expect((await cache.get(one))?.toString()).toBe("1");
    });

    it("forgets an entry when its time is up, and not before", async () => {
      const key = randomUUID();
      await cache.set(key, Buffer.from("x"), 1500);
      await opened.pass(100);
      expect(await cache.get(key)).toBeDefined();
      await opened.pass(1400);
      expect(await cache.get(key)).toBeUndefined();
    });

    it("replaces value and time when an entry is set again", async () => {
      const key = randomUUID();
      await cache.set(key, Buffer.from("old"), 60_000);
      await cache.set(key, Buffer.from("new"), 1000);
      expect((await cache.get(key))?.toString()).toBe("new");
      await opened.pass(1000);
      expect(await cache.get(key)).toBeUndefined();
      await cache.set(key, Buffer.from("short"), 100);
      await cache.set(key, Buffer.from("long"), 60_000);
      await opened.pass(150);
      expect((await cache.get(key))?.toString()).toBe("long");
    });

    it("takes a time with a fraction of a millisecond", async () => {
      const key = randomUUID();
      await cache.set(key, Buffer.from("x"), 59_999.5);
      expect(await cache.get(key)).toBeDefined();
    });

    it("serves a hundred at once", async () => {
      const keys = Array.from({ length: 100 }, () => randomUUID());
      await Promise.all(keys.map((key) => cache.set(key, Buffer.from(key), 60_000)));
      const found = await Promise.all(keys.map((key) => cache.get(key)));
      expect(found.map(String)).toEqual(keys);
    });
  });
}
