import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    // graphql ships both module kinds; without this, Vitest and type-graphql each load their own copy.
    alias: [
      { find: /^graphql$/, replacement: fileURLToPath(new URL("node_modules/graphql/index.js", import.meta.url)) },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/fixtures/build.ts",
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
});
