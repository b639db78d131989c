import { readFileSync } from "node:fs";
import { builtFile } from "./machine.js";
import { bundledProgram } from "./programs.js";
import { ServerProcess } from "./server.js";

interface GatewayOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
}

/** What `npm start` tells Node: how large the heap may get. */
export const NODE_OPTIONS = readNodeOptions();

function readNodeOptions(): string {
  const { scripts } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    scripts: { start: string };
  };
  const options = /NODE_OPTIONS="(.+) \$NODE_OPTIONS"/.exec(scripts.start)?.[1];
  if (options === undefined) throw new Error("npm start has no options for Node");
  return options;
}

/** The gateway as shipped: `npm start`. */
export async function startGateway(options: GatewayOptions): Promise<ServerProcess> {
  return await start(options, [builtFile("main.js"), "serve"]);
}

/** One that is put together by the benchmark, as no setting turns the trail off. */
export async function startGatewayBy(
  options: GatewayOptions & { readonly withTrail: boolean },
): Promise<ServerProcess> {
  const args = [await bundledProgram("gateway-process"), ...(options.withTrail ? [] : ["without-trail"])];
  return await start(options, args);
}

async function start({ env, folder }: GatewayOptions, args: readonly string[]): Promise<ServerProcess> {
  return await ServerProcess.start({ folder, env: { NODE_OPTIONS, ...env }, name: "the gateway", args });
}
