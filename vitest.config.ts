import { defineConfig } from "vitest/config";
import { LongestFirst } from "./scripts/longest-first.mjs";

/** Against what hangs; how long something takes is no matter of a test, on a machine that does much else neither. */
const LIMIT = process.env.SHEPHERD_LONG ? 1_800_000 : 240_000;

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    exclude: ["test/agents/**", "node_modules/**"],
    testTimeout: LIMIT,
    hookTimeout: LIMIT,
    pool: "forks",
    // For two cores: tests of the command wait for disks, timers and the ends of processes.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    reporters: ["default", "./scripts/closing-line.mjs"],
  },
});
