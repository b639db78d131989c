import type { Counter, CounterOptions, Take } from "./counter.js";

interface MemoryOptions extends CounterOptions {
  /** When full, the window goes that has the least time left. */
  readonly maxKeys: number;
  /** ms since 1970 */
  readonly now: () => number;
}

interface Window {
  spent: number;
  /** ms since 1970 */
  readonly endsAt: number;
}

/**
 * In this process. Not the library's `RateLimiterMemory`: that one holds a timer and an entry for each key, as many as
 * callers can think of, counts what it refuses, and reads the clock by itself.
 */
export function memoryCounter({ limit, windowSeconds, maxKeys, now }: MemoryOptions): Counter {
  const windowMs = windowSeconds * 1000;
  // All windows are as long, so in the order of their insertion the first ends first.
  const windows = new Map<string, Window>();
  return {
    take: async (key) => {
      const time = now();
      const found = windows.get(key);
      // One that ends later than a new one would was begun before the clock was set back.
      const isOpen = found !== undefined && found.endsAt > time && found.endsAt <= time + windowMs;
      const window = isOpen ? found : { spent: 0, endsAt: time + windowMs };
      if (!isOpen) {
        windows.delete(key);
        windows.set(key, window);
        makeRoom(windows, maxKeys, time);
      }
      return takeFrom(window, limit, time);
    },
  };
}

function takeFrom(window: Window, limit: number, time: number): Take {
  const granted = window.spent < limit;
  if (granted) window.spent += 1;
  const giveBack = async () => {
    window.spent -= 1;
  };
  return { granted, limit, remaining: limit - window.spent, msLeft: window.endsAt - time, giveBack };
}

/** Drops what has ended, and what is too much. */
function makeRoom(windows: Map<string, Window>, maxKeys: number, time: number): void {
  for (const [key, { endsAt }] of windows) {
    if (windows.size <= maxKeys && endsAt > time) return;
    windows.delete(key);
  }
}
