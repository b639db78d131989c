import { LRUCache } from "lru-cache";

export type Recent<Value extends object> = LRUCache<string, Value>;

/**
 * Keeps as many as fit; what was not used for longest goes first. A hit must not be inserted into the Map again: the key made for
 * this request would be promoted to the old generation.
 */
export function keepRecent<Value extends object>(
  most: number,
  sizeOf: (value: Value) => number = () => 1,
): Recent<Value> {
  // By their size: for a number of them the library takes the room of all at once.
  return new LRUCache({ maxSize: most, sizeCalculation: sizeOf });
}
