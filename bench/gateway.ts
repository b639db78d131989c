import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onGatewayCore } from "./machine.js";

const PROGRAM = fileURLToPath(new URL("gateway-process.ts", import.meta.url));

interface GatewayProcessOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly withTrail: boolean;
}

/** The gateway in a process of its own; what it logs is thrown away. */
export class GatewayProcess {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
  ) {}

  static async start({ env, withTrail }: GatewayProcessOptions): Promise<GatewayProcess> {
    const [command, args] = onGatewayCore(["--import", "tsx", PROGRAM, ...(withTrail ? [] : ["without-trail"])]);
    const child = spawn(command, args, {
      env: { PATH: process.env.PATH, ...env },
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const { url } = await answer<{ url: string }>(child);
    return new GatewayProcess(child, `${url}/graphql`);
  }

  /** Of the processor, since it was started. */
  async cpuMicroseconds(): Promise<number> {
    this.child.send({});
    return (await answer<{ cpuMicroseconds: number }>(this.child)).cpuMicroseconds;
  }

  async close(): Promise<void> {
    const ended = once(this.child, "exit");
    this.child.disconnect();
    await ended;
  }
}

function answer<Message>(child: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    const fail = (code: number | null) => reject(new Error(`the gateway ended with ${code}`));
    child.once("exit", fail);
    child.once("message", (message) => {
      child.off("exit", fail);
      resolve(message as Message);
    });
  });
}
