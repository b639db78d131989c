import type { Server } from "node:http";
import { createServer } from "node:net";
import { StartError } from "../errors.js";

const HOST = "127.0.0.1";

interface PortChoice {
  /** From an earlier start: this one or none, because addresses made of it are in use. */
  readonly remembered: number | undefined;
  readonly preferred: number;
}

/** A port to listen on. Throws a `StartError` when the remembered one is taken. */
export async function choosePort({ remembered, preferred }: PortChoice, name: string): Promise<number> {
  if (remembered === undefined) return (await isFree(preferred)) ? preferred : 0;
  if (await isFree(remembered)) return remembered;
  throw new StartError(
    `Port ${remembered}, which ${name} had before, is in use: end the program that has it (another \`dev\`?), or delete the data folder to start afresh.`,
  );
}

/** Listens on the chosen port and says which one it is. */
export async function listenOn(
  server: Server,
  { name, ...choice }: PortChoice & { readonly name: string },
): Promise<number> {
  const port = await choosePort(choice, name);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, HOST, resolve);
  });
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}

async function isFree(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, HOST, () => probe.close(() => resolve(true)));
  });
}
