import { startEmulator } from "../../src/emulator/emulator.js";

// An emulator of its own process, for tests that kill it. The argument is its file; it prints its connection string.
const emulator = await startEmulator({
  host: "127.0.0.1",
  port: 0,
  file: process.argv[2],
  latency: "none",
  rateLimits: false,
});
process.stdout.write(`${emulator.connectionString}\n`);
