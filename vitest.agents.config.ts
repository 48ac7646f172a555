import { defineConfig } from "vitest/config";

/** Tests with the real coding agents: `npm run test:agents`. */
export default defineConfig({
  test: {
    include: ["test/agents/**/*.test.ts"],
    testTimeout: 240_000,
    hookTimeout: 240_000,
    pool: "forks",
    maxWorkers: 2,
    reporters: ["default", "./scripts/closing-line.mjs"],
  },
});
