import { LRUCache } from "lru-cache";

export type Recent<Value extends object> = LRUCache<string, Value>;

/**
 * Keeps as many as fit; what was not used for longest goes first. To use one changes nothing that outlives the request: no order is kept in
 * the Map, whose keys would be those of the last use, made for it, and would come to the old generation with every request.
 */
export function keepRecent<Value extends object>(
  most: number,
  sizeOf: (value: Value) => number = () => 1,
): Recent<Value> {
  // By their size: for a number of them the library takes the room of all at once.
  return new LRUCache({ maxSize: most, sizeCalculation: sizeOf });
}
