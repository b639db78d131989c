import { constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { endsWithinLine } from "./torn-line.js";

/** Where a sink's lines end up. */
export interface SinkOutput {
  /** Takes at least one of these bytes, from the first on, and says how many. One call at a time. */
  write(bytes: Buffer): Promise<number>;
  /** Whether a write hangs or not; it rejects then, if it can. */
  close(): void;
}

/** Not to wait for a pipe's reader in a thread of the pool, of which there are few. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
/** Between looks at a pipe that is full. */
const FULL_MS = 20;

/** A file, which is made when it is not there, for the owner's eyes; or a named pipe, or a device. */
export class FileOutput implements SinkOutput {
  #handle: FileHandle | undefined;
  /** A process that ended in the middle of a line has left it so. */
  #isTorn = false;
  #isClosed = false;

  constructor(private readonly file: string) {}

  /** At the start, to know at once that it cannot be opened; the next write tries again. */
  async open(): Promise<void> {
    this.#handle = await open(this.file, FLAGS, 0o600);
    this.#isTorn = await endsTorn(this.file, this.#handle).catch(() => false);
  }

  async write(bytes: Buffer): Promise<number> {
    await this.#follow();
    if (this.#isTorn) await this.#writeOnce(Buffer.from("\n"));
    this.#isTorn = false;
    while (!this.#isClosed) {
      const written = await this.#writeOnce(bytes);
      if (written > 0) return written;
      await setTimeout(FULL_MS, undefined, { ref: false });
    }
    throw new Error("it was closed");
  }

  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  /** 0 when there is no room in the pipe just now. */
  async #writeOnce(bytes: Buffer): Promise<number> {
    try {
      this.#handle ??= await open(this.file, FLAGS, 0o600);
      return (await this.#handle.write(bytes)).bytesWritten;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
      this.#drop();
      throw error;
    }
  }

  /** To the file that has the name now: whoever rotates logs moves the old one away. */
  async #follow(): Promise<void> {
    const opened = await this.#handle?.stat();
    const named = await stat(this.file).catch(() => undefined);
    if (opened?.ino !== named?.ino || opened?.dev !== named?.dev) this.#drop();
  }

  #drop(): void {
    this.#handle?.close().catch(() => {});
    this.#handle = undefined;
  }
}

/** Whether this is a file whose last line has no end. */
async function endsTorn(file: string, handle: FileHandle): Promise<boolean> {
  if (!(await handle.stat()).isFile()) return false;
  const reader = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return await endsWithinLine(reader);
  } finally {
    await reader.close();
  }
}

/** For standard output. */
export class StreamOutput implements SinkOutput {
  constructor(private readonly stream: NodeJS.WritableStream) {
    // Each write tells of its own failure; one that nobody heard would end the process.
    stream.on("error", () => {});
  }

  write(bytes: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      this.stream.write(bytes, (error) => (error ? reject(error) : resolve(bytes.length)));
    });
  }

  close(): void {}
}
