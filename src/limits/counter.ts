/**
 * Counts how much of one budget each key has taken. Where windows are fixed, a key's begins with its first take and ends so many
 * seconds later, whatever is taken or refused meanwhile; where they slide, each interval is one. Concurrent takes of what is left, n,
 * let exactly n through.
 */
export interface Counter {
  /** Takes one, if one is left. Rejects when the counter cannot be asked. */
  take(key: string): Promise<Take>;
}

export interface Take {
  /** Whether there was one left. A take that is refused counts for nothing. */
  readonly granted: boolean;
  /** The budget that this counter grants in one window. */
  readonly limit: number;
  readonly remaining: number;
  /** Until the key's window ends. */
  readonly msLeft: number;
  /** For a take that was granted and not used. Too late, once the window has ended. Never rejects. */
  giveBack(): Promise<void>;
}

export interface CounterOptions {
  readonly limit: number;
  readonly windowSeconds: number;
}

/** The other counter while the first cannot be asked. What the first granted is given back there. */
export function withFallback(first: Counter, other: Counter, observe: (error: unknown) => void): Counter {
  return {
    take: async (key) => {
      try {
        return await first.take(key);
      } catch (error) {
        observe(error);
        return await other.take(key);
      }
    },
  };
}
