import { fileURLToPath } from "node:url";
import { builtFile } from "./machine.js";
import { ServerProcess } from "./server.js";

const CHANGED = fileURLToPath(new URL("gateway-process.ts", import.meta.url));
const LOADER = import.meta.resolve("tsx");

interface GatewayOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
}

/** The gateway as shipped: `serve`. */
export async function startGateway(options: GatewayOptions): Promise<ServerProcess> {
  return await ServerProcess.start({ ...options, name: "the gateway", args: [builtFile("main.js"), "serve"] });
}

/** One that is put together by the benchmark, as no setting turns the trail off. */
export async function startGatewayBy(
  options: GatewayOptions & { readonly withTrail: boolean },
): Promise<ServerProcess> {
  const args = ["--import", LOADER, CHANGED, ...(options.withTrail ? [] : ["without-trail"])];
  return await ServerProcess.start({ ...options, name: "the gateway", args });
}
