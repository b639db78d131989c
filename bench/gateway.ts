import { START_ENVIRONMENT } from "../scripts/start-environment.js";
import { builtFile } from "./machine.js";
import { bundledProgram } from "./programs.js";
import { ServerProcess } from "./server.js";

interface GatewayOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
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
  return await ServerProcess.start({ folder, env: { ...START_ENVIRONMENT, ...env }, name: "the gateway", args });
}
