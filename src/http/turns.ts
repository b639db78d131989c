/** Some milliseconds of work. */
const MOST_IN_A_TURN = 32;
/** So many that wait are a crowd: with fewer, to stop reading and to begin again costs more than it saves. */
const CROWD = 8 * MOST_IN_A_TURN;
/** Requests of a crowd that are read and wait: for the next turn, and some more, as not every connection has one. */
const READ_AHEAD = 2 * MOST_IN_A_TURN;
/** Nobody counts for how long a request has waited that nobody has read. */
const MOST_UNREAD_MS = 1000;

/** A socket, as far as it is used here. */
interface Connection {
  readonly destroyed: boolean;
  pause(): unknown;
  resume(): unknown;
}

/**
 * Lets requests begin in the order in which they come, so many in a turn of the event loop. Were thousands that come together
 * begun together, all of them would be half done for long, and what they hold would be copied by the garbage collector again and
 * again. What waits for its turn has been read, and is copied, too; so in a crowd the connections that have been answered are left
 * unread until there is a turn for them soon.
 */
export class Turns {
  /** ms by a clock that is never set. */
  readonly #elapsed: () => number;
  /** In this turn. */
  #begun = 0;
  /** Begun without a turn since the last turn. */
  #atOnce = 0;
  #isUnderWay = false;
  readonly #waiting: (() => void)[] = [];
  /** Since when, oldest first. */
  readonly #unread = new Map<Connection, number>();

  constructor(elapsed: () => number) {
    this.#elapsed = elapsed;
  }

  /** Connections that are not read, each of which may have a request. */
  get unread(): number {
    return this.#unread.size;
  }

  /** Undefined where a request, one of so many under way, may begin at once; else what resolves when it may. */
  take(underWay: number): Promise<void> | undefined {
    // Those that are answered while they begin are never under way together, however many come in one turn of the event loop.
    const isFew = underWay <= MOST_IN_A_TURN && this.#atOnce < MOST_IN_A_TURN;
    if (isFew && !this.#isUnderWay) {
      this.#atOnce += 1;
      return undefined;
    }
    if (this.#begun >= MOST_IN_A_TURN) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#begun += 1;
    this.#goOn();
    return undefined;
  }

  /** To be called when a request that had its turn is about to be answered, on a connection that is kept. */
  answered(connection: Connection): void {
    // Whoever has an answer does not overtake those who had one before, and are left unread.
    const isCrowd = this.#unread.size > 0 || this.#waiting.length >= CROWD;
    // What was sent ahead of answers has been read before, and is answered while the connection is left unread.
    if (!isCrowd || connection.destroyed || this.#unread.has(connection)) return;
    connection.pause();
    this.#unread.set(connection, this.#elapsed());
  }

  #goOn(): void {
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    this.#atOnce = 0;
    setImmediate(() => this.#next());
  }

  #next(): void {
    const next = this.#waiting.splice(0, MOST_IN_A_TURN);
    this.#begun = next.length;
    for (const begin of next) begin();
    this.#read(READ_AHEAD - this.#waiting.length);
    this.#isUnderWay = false;
    if (next.length + this.#unread.size > 0) this.#goOn();
  }

  /** So many of those that have been left unread for longest, and all for whom it has been too long. */
  #read(count: number): void {
    let left = count;
    const latest = this.#elapsed() - MOST_UNREAD_MS;
    for (const [connection, since] of this.#unread) {
      if (left <= 0 && since > latest) return;
      this.#unread.delete(connection);
      if (connection.destroyed) continue;
      connection.resume();
      left -= 1;
    }
  }
}
