/** The gateway by the benchmark's own hand, configured by the environment alone. With the argument `without-trail` it records nothing. */
import { builtFile } from "./machine.js";

const load = async <Module>(name: string): Promise<Module> => (await import(builtFile(name))) as Module;

const { startGateway } = await load<typeof import("../src/gateway.js")>("gateway.js");
const { loadConfig } = await load<typeof import("../src/config/load.js")>("config/load.js");
const { secretsIn } = await load<typeof import("../src/config/secrets.js")>("config/secrets.js");
const { logOutput } = await load<typeof import("../src/observe/log-output.js")>("observe/log-output.js");
const { createLogger } = await load<typeof import("../src/observe/logger.js")>("observe/logger.js");

const config = loadConfig(undefined, process.env, "production");
const destination = logOutput(process.stdout, Date.now);
const gateway = await startGateway(config, {
  logger: createLogger({ level: config.log.level, secrets: secretsIn(config), destination }),
  standardOutput: process.stdout,
  ...(process.argv[2] === "without-trail" && { trail: { record: async () => {} } }),
});
process.on("SIGTERM", () => void gateway.close().then(() => process.exit(0)));
