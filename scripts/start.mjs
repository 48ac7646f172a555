// `npm start`: installs, builds, and shows the main job offline, on a real repository with real tests. Only the model's words are scripted.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setup } from "./setup.mjs";

setup();
const home = mkdtempSync(join(tmpdir(), "shepherd-demo-"));
const project = join(home, "cart");
const demo = resolve("examples/demo");
const cli = resolve("bin/shepherd.js");
const env = {
  ...process.env,
  SHEPHERD_DIR: join(home, "store"),
  GIT_AUTHOR_NAME: "demo",
  GIT_AUTHOR_EMAIL: "demo@example.invalid",
};
Object.assign(env, { GIT_COMMITTER_NAME: "demo", GIT_COMMITTER_EMAIL: "demo@example.invalid" });

const heading = (text) => console.log(`\n\x1b[1m${text}\x1b[0m`.replace(process.stdout.isTTY ? "" : /\x1b\[\d*m/g, ""));
const shown = (args) =>
  args
    .map((word) => (/[^\w./:@=+-]/.test(word) ? JSON.stringify(word) : word))
    .join(" ")
    .replaceAll(demo, "demo");

/** Runs `shepherd`, shows it as a user would type it, and checks that it ended as expected. */
function shepherd(args, { code = 0, quiet = false } = {}) {
  if (!quiet) console.log(`$ shepherd ${shown(args)}`);
  const done = spawnSync(process.execPath, [cli, ...args], {
    cwd: project,
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (!quiet) process.stdout.write(`${done.stdout}${done.stderr}`);
  if (code !== null && done.status !== code) {
    console.error(`The demo expected exit code ${code}, and got ${done.status}.\n${done.stdout}${done.stderr}`);
    process.exit(1);
  }
  return {
    code: done.status,
    lines: quiet
      ? done.stdout
          .trim()
          .split("\n")
          .filter(Boolean)
          .map((line) => JSON.parse(line))
      : [],
  };
}

function expect(condition, text) {
  if (condition) return;
  console.error(`The demo expected that ${text}.`);
  process.exit(1);
}
const cart = () => readFileSync(join(project, "src/cart.js"), "utf8");

cpSync(join(demo, "repo"), project, { recursive: true });
for (const args of [
  ["init", "-q"],
  ["add", "-A"],
  ["commit", "-qm", "A cart that forgets quantities"],
])
  spawnSync("git", args, { cwd: project, env });
const before = cart();

heading("1. An agent fixes a failing test, then breaks it again");
shepherd(["run", "--scope", "fix-cart", "--model", `script:${demo}/fix.jsonl`, "fix the failing cart test"]);
expect(cart() === before, "the user's own files are untouched");

heading("2. Every model call, tool call and edit is a step");
shepherd(["log"]);

heading("3. Back to green: conversation and files, whatever sed did");
const steps = shepherd(["log", "fix-cart", "--json"], { quiet: true }).lines;
const green = steps.findLast(
  (step) => step.kind === "tool" && step.summary.includes("grep -E") && step.status === "done",
).n;
shepherd(["revert", String(green)]);
shepherd(["exec", "fix-cart", "--", "node", "--test", "--test-reporter=dot"]);

heading("4. Three futures from one moment");
for (const k of [1, 2, 3])
  shepherd(
    [
      "run",
      "--from",
      `fix-cart@${green}`,
      "--scope",
      `future-${k}`,
      "--model",
      `script:${demo}/future-${k}.jsonl`,
      "say what happens without a quantity",
    ],
    { code: 0 },
  );

heading("5. The tests, in each of them");
const passing = [];
for (const k of [1, 2, 3]) {
  const { code } = shepherd(["exec", `future-${k}`, "--", "node", "--test", "--test-reporter=dot"], { code: null });
  console.log(`future-${k}: ${code === 0 ? "green" : "red"}\n`);
  if (code === 0) passing.push(`future-${k}`);
}
expect(passing.join() === "future-1,future-2", "the first two futures pass their tests, and the third does not");

heading("6. Land the best one, discard the rest");
shepherd(["merge", passing[0]]);
expect(cart().includes("?? 1"), "the merge brought the best future into the user's directory");
shepherd(["discard", "future-2", "future-3"]);
spawnSync(process.execPath, ["--test"], { cwd: project, env });

heading("7. And take that back");
shepherd(["undo", "--list"]);
shepherd([
  "undo",
  String(shepherd(["undo", "--list", "--json"], { quiet: true }).lines.find((each) => each.kind === "landing").op),
]);
expect(cart() === before, "undo gave back the user's files, byte for byte");

heading("8. The store is sound");
shepherd(["fsck"]);
rmSync(home, { recursive: true, force: true });
