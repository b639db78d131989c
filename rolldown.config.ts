import type { BuildOptions } from "rolldown";
import { apolloParts } from "./scripts/apollo-parts.js";
import { nodeHttp } from "./scripts/node-http.js";
import { oneByte } from "./scripts/one-byte.js";
import { thirdParty } from "./scripts/third-party.js";

/**
 * The program in a few files: Node finds, reads and links some 1500 otherwise at each start. What only some runs need (Entra ID,
 * Postgres, Redis, `dev`) is in files of its own, which are loaded when it is needed.
 */
export default {
  input: { main: "src/main.ts" },
  platform: "node",
  logLevel: "warn",
  plugins: [apolloParts, nodeHttp, thirdParty, oneByte],
  tsconfig: "tsconfig.json",
  // Microsoft's client looks whether what it sends is a form, which it never is; to ask Node for the class loads the whole of undici.
  transform: { define: { FormData: "undefined" } },
  // None of them is a dependency: native Postgres, a validator of inputs that is turned off, and colours for a library's reports.
  external: ["pg-native", "class-validator", "supports-color"],
  output: {
    dir: "dist",
    format: "esm",
    chunkFileNames: "[name].js",
    cleanDir: true,
    comments: { legal: true, jsdoc: false, annotation: false },
  },
} satisfies BuildOptions;
