/** The gateway by the benchmark's own hand, configured by the environment alone. With the argument `without-trail` it records nothing. */
import { loadConfig } from "../src/config/load.js";
import { secretsIn } from "../src/config/secrets.js";
import { startGateway } from "../src/gateway.js";
import { tuneV8 } from "../src/heap.js";
import { logOutput } from "../src/observe/log-output.js";
import { createLogger } from "../src/observe/logger.js";

tuneV8();
const config = loadConfig(undefined, process.env, "production");
const destination = logOutput(process.stdout, Date.now);
const gateway = await startGateway(config, {
  logger: createLogger({ level: config.log.level, secrets: secretsIn(config), destination }),
  standardOutput: process.stdout,
  ...(process.argv[2] === "without-trail" && { trail: { record: async () => true } }),
});
process.on("SIGTERM", () => void gateway.close().then(() => process.exit(0)));
