import { defineConfig } from "vitest/config";

/** Against what hangs; how long something takes is no matter of a test. */
const LIMIT = process.env.SHEPHERD_LONG ? 1_800_000 : 60_000;

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    exclude: ["test/agents/**", "node_modules/**"],
    testTimeout: LIMIT,
    hookTimeout: LIMIT,
    pool: "forks",
    maxWorkers: 2,
    reporters: ["default", "./scripts/closing-line.mjs"],
  },
});
