import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** Set: what runs on SQLite from end to end runs on this Postgres server too. */
const server = process.env.TEST_POSTGRES_URL;

export default defineConfig({
  resolve: {
    // graphql ships both module kinds; without this, Vitest and type-graphql each load their own copy.
    alias: [
      { find: /^graphql$/, replacement: fileURLToPath(new URL("node_modules/graphql/index.js", import.meta.url)) },
    ],
  },
  test: {
    globalSetup: "test/fixtures/build.ts",
    // Tests wait more than they work: for time-outs, outages, other processes.
    maxWorkers: 3,
    // Whatever is waited for may take its time on a busy machine.
    expect: { poll: { timeout: 5000 } },
    coverage: {
      include: ["src/auth/**", "src/policy/**"],
      reporter: ["text", "html"],
      thresholds: { lines: 100, branches: 99 },
    },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      { extends: true, test: { name: "all", include: ["test/**/*.test.ts"] } },
      ...(server
        ? [
            {
              extends: true as const,
              test: {
                name: "postgres",
                include: ["test/e2e/**/*.test.ts", "test/performance/counts.test.ts"],
                env: { TEST_STORE_URL: server },
              },
            },
          ]
        : []),
    ],
  },
});
