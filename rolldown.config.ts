import type { BuildOptions } from "rolldown";
import { apolloParts } from "./scripts/apollo-parts.js";

/**
 * The program in a few files: Node finds, reads and links some 1500 otherwise at each start. What only some runs need (Entra ID,
 * Postgres, Redis, `dev`) is in files of its own, which are loaded when it is needed.
 */
export default {
  input: { main: "src/main.ts" },
  platform: "node",
  logLevel: "warn",
  plugins: [apolloParts],
  tsconfig: "tsconfig.json",
  // Neither is installed: native Postgres, and a validator of inputs that is turned off.
  external: ["pg-native", "class-validator"],
  output: { dir: "dist", format: "esm", chunkFileNames: "[name].js", cleanDir: true },
} satisfies BuildOptions;
