interface ExpiringMapOptions {
  /** ms since 1970 */
  readonly now: () => number;
  readonly lifeMs: number;
  readonly most: number;
}

interface Entry<Value> {
  readonly value: Value;
  readonly until: number;
}

/** Keeps each value for so long, and so many at most: then the oldest goes. */
export class ExpiringMap<Value> {
  readonly #entries = new Map<string, Entry<Value>>();

  constructor(private readonly options: ExpiringMapOptions) {}

  set(key: string, value: Value): void {
    const { now, lifeMs, most } = this.options;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined && this.#entries.size >= most) this.#entries.delete(oldest);
    this.#entries.set(key, { value, until: now() + lifeMs });
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && this.options.now() < entry.until ? entry.value : undefined;
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
