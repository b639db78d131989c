/**
 * The gateway in a process of its own, configured by the environment alone. It tells its parent its address, then its use of
 * the processor whenever it is asked, and ends with its parent. With the argument `without-trail` it records nothing.
 */
import { builtFile } from "./machine.js";

const load = async <Module>(name: string): Promise<Module> => (await import(builtFile(name))) as Module;

const { startGateway } = await load<typeof import("../src/gateway.js")>("gateway.js");
const { loadConfig } = await load<typeof import("../src/config/load.js")>("config/load.js");
const { secretsIn } = await load<typeof import("../src/config/secrets.js")>("config/secrets.js");
const { createLogger } = await load<typeof import("../src/observe/logger.js")>("observe/logger.js");

const config = loadConfig(undefined, process.env, "production");
const gateway = await startGateway(config, {
  logger: createLogger({ level: config.log.level, secrets: secretsIn(config), destination: process.stdout }),
  ...(process.argv[2] === "without-trail" && { trail: { record: async () => {} } }),
});
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuMicroseconds: user + system });
});
process.on("disconnect", () => void gateway.close());
process.send?.({ url: gateway.url });
