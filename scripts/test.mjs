// `npm test`: installs, builds, checks, tests. `--long`: full counts with fresh seeds, which are printed.
import { spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { setup } from "./setup.mjs";

const long = process.argv.includes("--long");
setup();
const check = spawnSync(process.execPath, ["scripts/check.mjs"], { stdio: "inherit" });
const env = { ...process.env };
if (long) {
  env.SHEPHERD_LONG = "1";
  env.SHEPHERD_SEED ??= String(randomInt(2 ** 31));
  console.log(`seed: ${env.SHEPHERD_SEED} (SHEPHERD_SEED=${env.SHEPHERD_SEED} npm run test:long repeats it)`);
}
const rest = process.argv.slice(2).filter((argument) => argument !== "--long");
const tests = spawnSync(join("node_modules", ".bin", "vitest"), ["run", ...rest], { stdio: "inherit", env });
process.exit(check.status || tests.status || 0);
