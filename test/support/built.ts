/** The command as users get it: compiled once from the sources as they are, for all tests of a run. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { alive, isOwner, thisOwner } from "../../src/trace/owner.ts";

const ROOT = resolve(import.meta.dirname, "../..");
/** Ignored by git and by every tool that looks at the tree. */
const PLACE = join(ROOT, "node_modules/.cache/shepherd-built");
/** Lies beside it in the package. */
const CLIENT = "clients/python/shepherd.py";
/** Builds of other sources go after this time, in ms: a run of tests may still use them. */
const STALE = 24 * 3600 * 1000;

/** Everything that the build depends on, as one name. */
function nameOfSources(): string {
  const hash = createHash("sha256");
  const add = (path: string): void => {
    hash
      .update(`${path}\0`)
      .update(fs.readFileSync(join(ROOT, path)))
      .update("\0");
  };
  for (const path of [
    "package.json",
    "tsconfig.json",
    "tsconfig.build.json",
    "scripts/bundle.mjs",
    "scripts/native.mjs",
    CLIENT,
    "scripts/types.mjs",
  ])
    add(path);
  for (const name of fs.readdirSync(join(ROOT, "native")).sort()) add(join("native", name));
  for (const path of fs.readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).sort())
    if (path.endsWith(".ts") && !path.endsWith(".test.ts")) add(join("src", path));
  return hash.digest("hex").slice(0, 20);
}

function build(target: string): void {
  const made = fs.mkdtempSync(`${target}.`);
  // Other users run it too.
  fs.chmodSync(made, 0o755);
  const run = (command: string, ...args: string[]): unknown =>
    execFileSync(command, args, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  // Without a check of types: that is another step, and an error there should not hide what the tests say.
  const options = ["-p", "tsconfig.build.json", "--noCheck", "--outDir", join(made, "dist")];
  run(join(ROOT, "node_modules/.bin/tsc"), ...options);
  run(process.execPath, "scripts/bundle.mjs", join(made, "bin"), join(made, "dist"));
  // The command finds its version in ../package.json.
  fs.copyFileSync(join(ROOT, "package.json"), join(made, "package.json"));
  fs.mkdirSync(join(made, dirname(CLIENT)), { recursive: true });
  fs.copyFileSync(join(ROOT, CLIENT), join(made, CLIENT));
  fs.renameSync(made, target);
}

/** Whether this process may build; a lock of a process that is gone is nobody's. */
function lock(path: string): boolean {
  try {
    fs.writeFileSync(path, JSON.stringify(thisOwner()), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  try {
    const owner: unknown = JSON.parse(fs.readFileSync(path, "utf8"));
    if (isOwner(owner) && !alive(owner)) fs.rmSync(path, { force: true });
  } catch {
    // It is being written, or was removed.
  }
  return false;
}

/** Path of `shepherd.js`, compiled from the sources as they are now. */
export async function built(): Promise<string> {
  fs.mkdirSync(PLACE, { recursive: true });
  const target = join(PLACE, nameOfSources());
  while (!fs.existsSync(target)) {
    if (!lock(`${target}.lock`)) {
      await sleep(50);
      continue;
    }
    try {
      if (!fs.existsSync(target)) build(target);
      for (const name of fs.readdirSync(PLACE)) {
        const path = join(PLACE, name);
        if (Date.now() - (fs.statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > STALE)
          fs.rmSync(path, { recursive: true, force: true });
      }
    } finally {
      fs.rmSync(`${target}.lock`, { force: true });
    }
  }
  // What is in use is not stale.
  try {
    fs.utimesSync(target, new Date(), new Date());
  } catch (error) {
    // Another user's, whose tests have started these.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
  }
  return join(target, "bin/shepherd.js");
}
