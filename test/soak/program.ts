import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import { isOpen } from "../../bench/server.js";

interface ProgramOptions {
  /** For messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Takes what it prints, behind what is there. */
  readonly logFile: string;
  /** The user that it is to run as, when this process may choose. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

const CONNECT_EVERY_MS = 20;
const START_LIMIT_MS = 60_000;

/** All that run, so that none is left behind whatever ends this process. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** A process of a run's own. Ctrl-C does not reach it, so that what ends it is what the run does. */
export class Program {
  private constructor(
    private readonly child: ChildProcess,
    readonly name: string,
  ) {}

  static start({ name, command, args, cwd, env, logFile, owner }: ProgramOptions): Program {
    const log = openSync(logFile, "a");
    const child = spawn(command, args, {
      cwd,
      env: { PATH: process.env.PATH ?? "", ...env },
      stdio: ["ignore", log, log],
      detached: true,
      ...owner,
    });
    closeSync(log);
    running.add(child);
    child.once("close", () => running.delete(child));
    // What cannot be started is told by whoever waits for its port.
    child.on("error", () => running.delete(child));
    return new Program(child, name);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null || this.child.pid === undefined;
  }

  /** The exit code or the signal. */
  get end(): number | string {
    return this.child.exitCode ?? this.child.signalCode ?? "never started";
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.isOver) this.child.kill(signal);
  }

  /** Sends the signal and waits until the process is gone. */
  async stop(signal: NodeJS.Signals): Promise<number | string> {
    if (!this.isOver) {
      const closed = once(this.child, "close");
      this.child.kill(signal);
      await closed;
    }
    return this.end;
  }

  /** Waits for it to end by itself. */
  async ended(): Promise<number | string> {
    if (!this.isOver) await once(this.child, "close");
    return this.end;
  }

  /** Resolves when something listens on the port. */
  async listening(port: number): Promise<void> {
    const last = performance.now() + START_LIMIT_MS;
    while (!(await isOpen(port))) {
      if (this.isOver) throw new Error(`${this.name} does not start, it ended with ${this.end}`);
      if (performance.now() > last) throw new Error(`${this.name} does not listen on port ${port}`);
      await setTimeout(CONNECT_EVERY_MS);
    }
  }
}

/** Below those that systems give to whoever asks for any: nobody takes it while its server is away. */
const PORTS = { first: 20_000, count: 10_000 } as const;
let next = Math.floor(Math.random() * PORTS.count);

/** A port that was free just now. */
export async function steadyPort(): Promise<number> {
  for (let tries = 0; tries < PORTS.count; tries++) {
    next = (next + 1) % PORTS.count;
    const port = PORTS.first + next;
    if (await isFree(port)) return port;
  }
  throw new Error("there is no free port");
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
