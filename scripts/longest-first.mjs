// Which test files begin first: those that take longest, so that all workers end at about the same time.
import { existsSync } from "node:fs";
import { BaseSequencer } from "vitest/node";

/** Those of more than 15 seconds, the longest first. What took how long here, vitest knows from its second run on; by itself it begins with what has the longest text. */
const LONGEST = [
  "test/cli/supervise",
  "test/cli/driven",
  "test/conformance/driver",
  "test/crash/agent",
  "test/plugins/added",
  "test/cli/limits",
  "test/cli/store",
  "test/crash/operations",
  "test/cli/back",
  "test/cli/image",
  "test/cli/standing",
  "test/cli/exact",
  "test/cli/agent",
  "test/cli/port",
  "test/bench",
  "test/cli/git",
  "test/cli/merge",
  "test/cli/shell",
  "test/cli/services",
  "test/cli/terminal",
  "test/docs/reference",
  "src/scope/exec/lifetime",
].map((name) => `${name}.test.ts`);
for (const name of LONGEST)
  if (!existsSync(name)) throw new Error(`scripts/longest-first.mjs names ${name}, which is not there.`);

export class LongestFirst extends BaseSequencer {
  async sort(files) {
    const rank = ({ moduleId }) => {
      const found = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}`));
      return found < 0 ? LONGEST.length : found;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
