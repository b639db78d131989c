import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Environment } from "../config/read.js";
import { StartError } from "../errors.js";

const HOST = "127.0.0.1";

interface PortChoice {
  /** From an earlier start: this one or none, because addresses made of it are in use. */
  readonly remembered: number | undefined;
  readonly preferred: number;
  /** What is started. */
  readonly name: string;
}

/** A port that the environment names; 0 takes any. Throws a `StartError` for what is none. */
export function readPort(env: Environment, name: string): number | undefined {
  const text = env[name];
  if (text === undefined || text === "") return undefined;
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new StartError(`${name} is a port, 0 to 65535; 0 takes any free one.`);
}

/**
 * Starts something on the chosen port, or on any free one if the preferred is taken. It is tried rather than looked at
 * before: two that start at once would both see it free. Throws a `StartError` when the remembered one is taken.
 */
export async function startOnPort<Started>(
  { remembered, preferred, name }: PortChoice,
  start: (port: number) => Promise<Started>,
): Promise<Started> {
  try {
    return await start(remembered ?? preferred);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    if (remembered === undefined) return await start(0);
    throw new StartError(
      `Port ${remembered}, which ${name} had before, is in use: end the program that has it (another \`dev\`?), or delete the data folder to start afresh.`,
      { cause: error },
    );
  }
}

/** On this machine only; the port that it got. */
export async function listenHere(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, HOST, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return (server.address() as AddressInfo).port;
}
