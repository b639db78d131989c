import { defineConfig, mergeConfig } from "vitest/config";
import shared from "./vitest.config.js";

/** What Stryker runs: the tests of src/auth and src/policy that are quick, since each runs many times. */
export default mergeConfig(
  { ...shared, test: { ...shared.test, globalSetup: [], projects: undefined } },
  defineConfig({ test: { include: ["test/{auth,policy}/**/*.test.ts"] } }),
);
