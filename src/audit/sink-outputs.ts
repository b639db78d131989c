import { constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";

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

const LINE_END = "\n".charCodeAt(0);
const NOTHING = Buffer.alloc(0);

/**
 * A file, which is made when it is not there, for the owner's eyes; or a named pipe, or a device. A line that was begun is
 * ended in the same file, or begun anew in the next.
 */
export class FileOutput implements SinkOutput {
  #handle: FileHandle | undefined;
  /** What is written of a line that has not ended. */
  #begun = NOTHING;
  /** What is to be written before anything else. */
  #first = NOTHING;
  #isClosed = false;

  constructor(private readonly file: string) {}

  /** At the start, to know at once that it cannot be opened; the next write tries again. */
  async open(): Promise<void> {
    this.#handle = await open(this.file, FLAGS, 0o600);
    await this.#resume(this.#handle);
  }

  async write(bytes: Buffer): Promise<number> {
    await this.#follow();
    if (this.#handle === undefined) await this.open();
    while (this.#first.length > 0) this.#first = this.#first.subarray(await this.#writeSome(this.#first));
    return await this.#writeSome(bytes);
  }

  close(): void {
    this.#isClosed = true;
    void this.#drop();
  }

  /** To the file that has the name now: whoever rotates logs moves the old one away. */
  async #follow(): Promise<void> {
    const opened = await this.#handle?.stat();
    const named = await stat(this.file).catch(() => undefined);
    if (opened?.ino !== named?.ino || opened?.dev !== named?.dev) await this.#drop();
  }

  /** Begins the line anew unless the file ends with what was begun of it; behind the half of another's on a line of its own. */
  async #resume(handle: FileHandle): Promise<void> {
    // One that may be written but not read is taken to be as it was left.
    const end = await readEnd(this.file, handle, this.#begun.length || 1).catch(() => undefined);
    if (end === undefined || (this.#begun.length > 0 && end.equals(this.#begun))) return;
    const isTorn = end.length > 0 && end.at(-1) !== LINE_END;
    // What an earlier end asked for, no line begins with.
    const rest = this.#first[0] === LINE_END ? this.#first.subarray(1) : this.#first;
    this.#first = Buffer.concat([isTorn ? Buffer.from("\n") : NOTHING, this.#begun, rest]);
    this.#begun = NOTHING;
  }

  async #writeSome(bytes: Buffer): Promise<number> {
    while (!this.#isClosed) {
      const written = await this.#writeOnce(bytes);
      if (written > 0) return written;
      await setTimeout(FULL_MS, undefined, { ref: false });
    }
    await this.#drop();
    throw new Error("it was closed");
  }

  /** 0 when there is no room in the pipe just now. */
  async #writeOnce(bytes: Buffer): Promise<number> {
    if (this.#handle === undefined) throw new Error("it was closed");
    try {
      const { bytesWritten } = await this.#handle.write(bytes);
      this.#note(bytes.subarray(0, bytesWritten));
      return bytesWritten;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN") return 0;
      if (code === "EPIPE") this.#beginAnew();
      // Before the next reader comes, or it gets what the pipe still held.
      await this.#drop();
      throw error;
    }
  }

  /** For a pipe's next reader. */
  #beginAnew(): void {
    this.#first = Buffer.concat([this.#begun, this.#first]);
    this.#begun = NOTHING;
  }

  #note(written: Buffer): void {
    const end = written.lastIndexOf(LINE_END);
    this.#begun = end < 0 ? Buffer.concat([this.#begun, written]) : Buffer.from(written.subarray(end + 1));
  }

  async #drop(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close().catch(() => {});
  }
}

/** The last bytes of a file, no more than so many. Undefined of a pipe or a device. */
async function readEnd(file: string, handle: FileHandle, length: number): Promise<Buffer | undefined> {
  const status = await handle.stat();
  if (!status.isFile()) return undefined;
  if (status.size === 0) return NOTHING;
  const reader = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const from = Math.max(0, status.size - length);
    const { buffer, bytesRead } = await reader.read(Buffer.alloc(length), 0, length, from);
    return buffer.subarray(0, bytesRead);
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
