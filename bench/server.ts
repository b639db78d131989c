import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import { onGatewayCore } from "./machine.js";
import { builtProgram } from "./programs.js";

interface ServerOptions {
  /** For messages. */
  readonly name: string;
  /** Of Node: options, the program, its arguments. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Working directory. */
  readonly folder: string;
}

interface Usage {
  /** Of the processor, by all threads, since the process was started. */
  readonly cpuMicroseconds: number;
  readonly residentBytes: number;
}

const CONNECT_EVERY_MS = 5;
const START_LIMIT_MS = 60_000;

/** A server that is measured, in a process of its own, which has a core of its own. What it prints is thrown away. */
export class ServerProcess {
  private constructor(
    private readonly child: ChildProcess,
    /** Of its GraphQL endpoint. */
    readonly url: string,
  ) {}

  /** Resolves when it can be connected to. */
  static async start({ name, args, env, folder }: ServerOptions): Promise<ServerProcess> {
    const port = await freePort();
    const [command, all] = onGatewayCore(["--import", builtProgram("reporter"), ...args]);
    const child = spawn(command, all, {
      cwd: folder,
      env: { PATH: process.env.PATH, NODE_ENV: "production", PORT: String(port), ADMIN_PORT: "0", ...env },
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    try {
      await listening(child, port);
      return new ServerProcess(child, `http://127.0.0.1:${port}/graphql`);
    } catch (error) {
      child.kill("SIGKILL");
      throw new Error(`${name} does not start`, { cause: error });
    }
  }

  async usage(): Promise<Usage> {
    const answer = once(this.child, "message", { signal: AbortSignal.timeout(START_LIMIT_MS) });
    this.child.send({});
    const [usage] = (await answer) as [Usage];
    return usage;
  }

  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGTERM");
    await ended;
  }
}

/** One that was free just now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || address === null) throw new Error("there is no port");
  return address.port;
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  const last = performance.now() + START_LIMIT_MS;
  while (!(await isOpen(port))) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    if (performance.now() > last) throw new Error("it does not listen");
    await setTimeout(CONNECT_EVERY_MS);
  }
}

/** Whether somebody listens there. */
export function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
