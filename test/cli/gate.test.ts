/** The person at a gate: what a terminal shows, and what is done with what is typed there. */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bash, newUser, put, type Running, type Turn, type User, until } from "../support/user.ts";

const hasTmux = spawnSync("tmux", ["-V"]).status === 0;

let user: User;
let gate: string;
const ends: Array<() => void> = [];
beforeEach(async () => {
  user = await newUser();
  gate = join(user.directory, "gate");
  fs.mkdirSync(gate);
});
afterEach(() => {
  for (const end of ends.splice(0)) end();
  user.end();
});

interface Terminal {
  /** All that was written to it, without what moves the cursor. */
  raw(): string;
  shows(text: string): Promise<void>;
  type(...keys: string[]): void;
}

/** A terminal in which a line is typed. */
function terminal(line: string): Terminal {
  const socket = `shepherd-test-${randomBytes(6).toString("hex")}`;
  const file = join(user.directory, `${socket}.raw`);
  const script = join(user.directory, `${socket}.sh`);
  fs.writeFileSync(file, "");
  // It begins once all that it writes is kept.
  fs.writeFileSync(
    script,
    `cd '${user.project}'; until [ -e ${file}.kept ]; do sleep 0.01; done; ${line}\necho "ended $?"; exec sleep 100\n`,
  );
  const tmux = (...args: string[]): string =>
    execFileSync("tmux", ["-L", socket, "-f", "/dev/null", ...args], {
      env: { ...user.env, TERM: "xterm-256color", NO_COLOR: "1", SHEPHERD: `${process.execPath} ${user.command}` },
      encoding: "utf8",
    });
  tmux("new-session", "-d", "-x", "100", "-y", "50", `bash ${script}`);
  ends.push(() => tmux("kill-server"));
  tmux("pipe-pane", `touch ${file}.kept; cat >> ${file}`);
  const raw = (): string => fs.readFileSync(file, "utf8").replace(/\x1b\[[\d;]*[A-Z]/g, "");
  return {
    raw,
    shows: (text) =>
      until(
        () => raw().includes(text),
        () => JSON.stringify(raw()),
      ),
    type: (...keys) => void tmux("send-keys", ...keys),
  };
}

async function atWork(turns: Turn[]): Promise<Running> {
  const wait = bash(`touch ${gate}/begun; until [ -e ${gate}/go ]; do sleep 0.01; done`);
  const model = user.script([{ call: [wait] }, ...turns, { say: "the end" }]);
  const run = user.start(["run", "--scope", "fix", "--write", gate, "--model", model, "go"]);
  await until(
    () => fs.existsSync(`${gate}/begun`),
    () => run.out + run.err,
  );
  return run;
}
const go = (): void => fs.writeFileSync(`${gate}/go`, "");
const bells = ({ raw }: Terminal): number => raw().split("\x07").length - 1;

test("a person is asked with a bell, and allows, denies with a reason, edits, and allows always", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  const run = await atWork([
    { call: [put("b.txt", "one\ntwo\n")] },
    { call: [put("c.txt", "c\n")] },
    { call: [bash("echo theirs > d.txt")] },
    { call: [bash("touch e.txt")] },
    { call: [bash("touch f.txt")] },
  ]);
  const at = terminal("$SHEPHERD gate");
  await at.shows("Asks here before calls of fix, until Ctrl-C.");
  expect(bells(at)).toBe(0);
  go();
  await at.shows("fix, step 4: write (reversible)");
  await at.shows("y yes, n no, e edit, a always write(b.txt), then Enter: ");
  expect(at.raw()).toMatch(/\(reversible\)\r\n {4}path: b\.txt\r\n {4}content:\r\n {6}one\r\n {6}two\r\n/);
  expect(bells(at)).toBe(1);
  at.type("what", "Enter");
  await until(
    () => at.raw().split("then Enter: ").length > 2,
    () => at.raw(),
  );
  at.type("y", "Enter");
  await at.shows("a always write(c.txt), then Enter: ");
  at.type("n", "Enter");
  await at.shows("Why?");
  at.type("not there", "Enter");
  await at.shows("$ echo theirs > d.txt");
  await at.shows("d.txt), then Enter: ");
  at.type("e", "Enter");
  await at.shows("> echo theirs > d.txt");
  at.type("C-u", "echo mine > d.txt", "Enter");
  await at.shows("a always bash(touch *), then Enter: ");
  at.type("a", "Enter");
  await at.shows("fix has ended (done).");
  await at.shows("ended 0");
  expect((await run.ended).code).toBe(0);
  expect(bells(at)).toBe(4);
  expect((await user.does(["cat", "fix@", "."])).out.trim().split("\n")).toEqual([
    "a.txt",
    "b.txt",
    "d.txt",
    "e.txt",
    "f.txt",
  ]);
  expect((await user.does(["cat", "fix@", "d.txt"])).out).toBe("mine\n");
  for (const [line, text] of [
    ["  4  allowed  write b.txt", ""],
    ["  6  denied  write c.txt", "  (the user does not allow it: not there)"],
    ["  8  changed and allowed  bash echo theirs > d.txt", ""],
    [" 10  allowed  bash touch e.txt", "  (and all that fits bash(touch *))"],
    [" 12  allowed  bash touch f.txt", "  (fits bash(touch *))"],
  ])
    expect(at.raw()).toContain(`${line}${text}\r\n`);
});

test("who leaves by Ctrl-D, and who is stopped by Ctrl-C, lets the run go on as without a gate", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  const run = await atWork([{ call: [put("b.txt", "b\n")] }, { call: [put("c.txt", "c\n")] }]);
  const first = terminal("$SHEPHERD gate fix");
  await first.shows("Asks here");
  go();
  await first.shows("a always write(b.txt), then Enter: ");
  const second = terminal("$SHEPHERD gate fix");
  await second.shows("Asks here");
  first.type("C-d");
  await first.shows("ended 0");
  await second.shows("a always write(c.txt), then Enter: ");
  second.type("C-c");
  await second.shows("ended 0");
  expect((await run.ended).code).toBe(0);
  expect((await user.does(["cat", "fix@", "c.txt"])).out).toBe("c\n");
});

test("the run's own terminal rings when it starts to wait, and says when it is paused", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  const model = user.script([
    { call: [bash(`touch ${gate}/begun; until [ -e ${gate}/go ]; do sleep 0.01; done`)] },
    { call: [put("b.txt", "b\n")] },
    { say: "the end" },
  ]);
  const own = terminal(`$SHEPHERD run --land never --scope fix --write ${gate} --model ${model} go`);
  await until(() => fs.existsSync(`${gate}/begun`));
  await user.does(["pause", "fix"]);
  await own.shows("fix is paused (");
  await user.does(["resume", "fix"]);
  await own.shows("fix goes on (");
  const at = terminal("$SHEPHERD gate fix");
  await at.shows("Asks here");
  expect(bells(own)).toBe(0);
  go();
  await own.shows("fix waits for a person at its gate, before step 4.");
  expect(bells(own)).toBe(1);
  await at.shows("a always");
  at.type("y", "Enter");
  await own.shows("ended 0");
  expect(bells(own)).toBe(1);
});
