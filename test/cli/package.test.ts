/** The package as it is published: what is in it, and that it works in an empty project. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findProgram } from "../../src/scope/exec/tools.ts";
import { built } from "../support/built.ts";

const ROOT = resolve(import.meta.dirname, "../..");
let home: string;
beforeEach(() => {
  home = fs.mkdtempSync(join(tmpdir(), "shepherd-package-"));
});
afterEach(() => fs.rmSync(home, { recursive: true, force: true }));

test("npm pack holds what a user needs and nothing else, and what it installs works in an empty project", async () => {
  const source = join(home, "source");
  fs.cpSync(dirname(dirname(await built())), source, { recursive: true });
  const { files } = JSON.parse(fs.readFileSync(join(ROOT, "package.json"), "utf8")) as { files: string[] };
  for (const name of files) if (name !== "bin") fs.cpSync(join(ROOT, name), join(source, name), { recursive: true });
  const env = {
    ...process.env,
    HOME: home,
    SHEPHERD_DIR: join(home, "store"),
    npm_config_cache: join(home, "cache"),
    npm_config_offline: "true",
    npm_config_update_notifier: "false",
  };
  const run = (cwd: string, command: string, ...args: string[]): string =>
    execFileSync(command, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

  const [packed] = JSON.parse(run(source, "npm", "pack", "--json", "--ignore-scripts")) as [
    { filename: string; files: Array<{ path: string }> },
  ];
  const paths = packed.files.map(({ path }) => path);
  expect(paths).toEqual(expect.arrayContaining(["README.md", "LICENSE", "CHANGELOG.md", "docs/tutorial.md"]));
  expect(paths).toContain("bin/shepherd.js");
  expect(paths).toContain("clients/python/shepherd.py");
  expect(
    paths.filter(
      (path) =>
        !/^(bin\/.*\.js|bin\/types\/.*\.d\.ts|bin\/shepherd-scope-\w+|clients\/python\/shepherd\.py|docs\/.*\.(md|svg)|[A-Z]+(\.md)?|package\.json)$/.test(
          path,
        ),
    ),
  ).toEqual([]);
  expect(paths.filter((path) => /\.test\.|^test|bench/.test(path))).toEqual([]);

  const project = join(home, "project");
  fs.mkdirSync(project);
  fs.writeFileSync(join(project, "package.json"), "{}");
  run(project, "npm", "install", "--no-audit", "--no-fund", join(source, packed.filename));
  const shepherd = join(project, "node_modules/.bin/shepherd");
  expect(run(project, shepherd, "--version")).toMatch(/^\d+\.\d+\.\d+\n$/);
  if (process.platform === "linux" && findProgram("cc")) expect(run(project, shepherd, "doctor")).toMatch(/ok +helper/);
  run(project, shepherd, "run", "--scope", "it", "--", "sh", "-c", "echo works > it.txt");
  expect(run(project, shepherd, "cat", "it@", "it.txt")).toBe("works\n");
  expect(fs.existsSync(join(run(project, shepherd, "serve", "--python").trim(), "shepherd.py"))).toBe(true);
  run(project, shepherd, "merge", "it");
  expect(fs.readFileSync(join(project, "it.txt"), "utf8")).toBe("works\n");

  // As README says for who has the sources.
  run(source, "npm", "install", "--global", "--prefix", join(home, "global"), "--ignore-scripts", ".");
  expect(run(project, join(home, "global/bin/shepherd"), "log", "it")).toContain("echo works");
});

test("installed from its directory as it was cloned it is a command, and stays one when that is built anew", async () => {
  const clone = join(home, "clone");
  fs.mkdirSync(clone);
  for (const name of [
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "tsconfig.build.json",
    "scripts",
    "native",
    "src",
  ])
    fs.cpSync(join(ROOT, name), join(clone, name), { recursive: true });
  // What is installed there is what the lock says, so nothing is fetched.
  fs.symlinkSync(join(ROOT, "node_modules"), join(clone, "node_modules"));
  const prefix = join(home, "prefix");
  const env = {
    ...process.env,
    HOME: home,
    npm_config_prefix: prefix,
    npm_config_offline: "true",
    npm_config_update_notifier: "false",
  };
  const run = (command: string, ...args: string[]): string =>
    execFileSync(command, args, { cwd: clone, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  const version = () => run(join(prefix, "bin/shepherd"), "--version");
  const told = run("sh", "-c", "npm run global 2>&1");
  expect(told).not.toContain("npm warn");
  expect(version()).toMatch(/^\d+\.\d+\.\d+\n$/);
  run(process.execPath, "scripts/bundle.mjs");
  expect(version()).toMatch(/^\d+\.\d+\.\d+\n$/);
});
