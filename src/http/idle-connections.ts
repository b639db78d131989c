import type { Socket } from "node:net";

/** Connections that are kept and ask nothing, so that they can make room when there is none for those who do. */
export class IdleConnections {
  readonly #leastIdleMs: number;
  readonly #elapsed: () => number;
  /** Since when, in the order of that. */
  readonly #idle = new Map<Socket, number>();
  readonly #watched = new WeakSet<Socket>();

  /** `leastIdleMs`: shorter is a pause between two requests. `elapsed`: ms by a clock that is never set. */
  constructor(leastIdleMs: number, elapsed: () => number) {
    this.#leastIdleMs = leastIdleMs;
    this.#elapsed = elapsed;
  }

  begin(socket: Socket): void {
    this.#idle.delete(socket);
  }

  end(socket: Socket): void {
    if (socket.destroyed) return;
    this.#idle.set(socket, this.#elapsed());
    // One listener for a connection, however many requests it brings.
    if (this.#watched.has(socket)) return;
    this.#watched.add(socket);
    socket.once("close", () => this.#idle.delete(socket));
  }

  /** The one that has been idle for longest, if that is long. */
  closeOne(): void {
    const [[socket, since] = []] = this.#idle;
    if (socket === undefined || since === undefined || this.#elapsed() - since < this.#leastIdleMs) return;
    this.#idle.delete(socket);
    socket.destroy();
  }
}
