// What `npm start` and `npm test` do first on a fresh clone: install and build, each only where it is needed.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const run = (command, args) => execFileSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });

export function setup() {
  const stamp = join("node_modules", ".installed");
  const lock = readFileSync("package-lock.json", "utf8");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lock) {
    // Also where it is run for `npm install --global .`, whose options npm hands on.
    run("npm", ["ci", "--no-global", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund"]);
    writeFileSync(stamp, lock);
  }
  run(join("node_modules", ".bin", "tsc"), ["-p", "tsconfig.build.json"]);
  run(process.execPath, [join("scripts", "bundle.mjs")]);
}
