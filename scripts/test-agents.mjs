// `npm run test:agents`: tests with the real coding agents, before scripted providers. `--long`: full counts with fresh seeds.
import { spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { agents, langgraph, opencode } from "./agents.mjs";
import { setup } from "./setup.mjs";

setup();
console.log(`agents: ${agents()}, ${opencode()}, ${langgraph()}`);
const env = { ...process.env };
if (process.argv.includes("--long")) {
  env.SHEPHERD_LONG = "1";
  env.SHEPHERD_SEED ??= String(randomInt(2 ** 31));
  console.log(`seed: ${env.SHEPHERD_SEED}`);
}
const rest = process.argv.slice(2).filter((argument) => argument !== "--long");
const vitest = join("node_modules", ".bin", "vitest");
const done = spawnSync(vitest, ["run", "-c", "vitest.agents.config.ts", ...rest], { stdio: "inherit", env });
process.exit(done.status ?? 1);
