// Format, lint, types, and that imports point only upwards in the list of folders.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const ORDER = [
  "trace",
  "world",
  "scope",
  "run",
  "gateway",
  "agent",
  "plugins",
  "meta",
  "coordinate",
  "fleet",
  "ui",
  "cli",
  "testing",
];

const files = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? files(path) : /\.tsx?$/.test(entry.name) ? [path] : [];
  });

const wrong = [];
for (const file of files("src")) {
  const folder = relative("src", file).split("/")[0];
  const rank = ORDER.indexOf(folder);
  const isTest = /\.test\.ts$/.test(file);
  for (const [, direct, lazy] of readFileSync(file, "utf8").matchAll(
    /^(?:(?:import|export)\s[^;"]*?\bfrom|import)\s*"([^"]+)"|\bimport\("([^"]+)"\)/gm,
  )) {
    const specifier = direct ?? lazy;
    if (!specifier.startsWith(".")) {
      if (folder === "trace" && !isTest && !specifier.startsWith("node:"))
        wrong.push(`${file}: the trace core has no runtime dependency, and imports ${specifier}`);
      continue;
    }
    const target = relative("src", resolve(dirname(file), specifier));
    if (target.startsWith("..")) {
      if (!isTest) wrong.push(`${file}: imports ${specifier} from outside src`);
      continue;
    }
    const to = target.split("/")[0];
    if (to === folder || isTest || rank < 0) continue;
    if (ORDER.indexOf(to) > rank) wrong.push(`${file}: ${folder} must not import ${to} (${specifier})`);
  }
}
for (const line of wrong) console.error(line);

const bin = (name) => join("node_modules", ".bin", name);
const run = (command, args) => {
  try {
    execFileSync(command, args, { stdio: "inherit" });
    return true;
  } catch {
    return false;
  }
};
const ok = [
  run(bin("biome"), ["check", "--error-on-warnings", "."]),
  run(bin("tsc"), ["-p", "tsconfig.json"]),
  wrong.length === 0,
];
process.exit(ok.every(Boolean) ? 0 : 1);
