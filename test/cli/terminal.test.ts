/** Pipes, terminals and Ctrl-C. */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bash, newUser, put, type User, until } from "../support/user.ts";
import { workspacesIn } from "../support/work.ts";

let user: User;
beforeEach(async () => {
  user = await newUser();
});
afterEach(() => user.end());

const shell = (line: string): { code: number | null; out: string; err: string } => {
  const { status, stdout, stderr } = spawnSync("bash", ["-c", line], {
    cwd: user.project,
    env: { ...user.env, SHEPHERD: `${process.execPath} ${user.command}` },
    encoding: "utf8",
  });
  return { code: status, out: stdout, err: stderr };
};
const hasTmux = spawnSync("tmux", ["-V"]).status === 0;

/** What a terminal of `columns` shows once `line` has ended: its lines as they are wrapped, with colours as escapes. `answer` is typed ahead. */
async function onTerminal(
  line: string,
  columns = 80,
  env: { [name: string]: string } = {},
  answer: string | null = null,
): Promise<string[]> {
  const socket = `shepherd-test-${randomBytes(6).toString("hex")}`;
  const done = join(user.directory, "done");
  fs.rmSync(done, { force: true });
  const script = join(user.directory, "typed.sh");
  fs.writeFileSync(script, `cd '${user.project}'; ${line}\necho $? > '${done}'; exec sleep 100\n`);
  const tmux = (...args: string[]): string =>
    execFileSync("tmux", ["-L", socket, "-f", "/dev/null", ...args], {
      env: { ...user.env, ...env, TERM: "xterm-256color", SHEPHERD: `${process.execPath} ${user.command}` },
      encoding: "utf8",
    });
  tmux("new-session", "-d", "-x", String(columns), "-y", "60", `bash ${script}`);
  try {
    if (answer !== null) tmux("send-keys", answer, "Enter");
    await until(() => fs.existsSync(done) && fs.readFileSync(done, "utf8") !== "");
    return tmux("capture-pane", "-p", "-e").trimEnd().split("\n");
  } finally {
    tmux("kill-server");
  }
}

test("what is to go is told before the question whether it may", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  await user.does(["init"]);
  const shown = (await onTerminal("$SHEPHERD uninstall", 200, {}, "n")).join("\n");
  expect(shown).toMatch(/ is to go, with 0 runs\.\nRemove it for good\? \[y\/N\] /);
  expect(fs.existsSync(user.store)).toBe(true);
});

const LONG = "a very long line that goes on and on ".repeat(8);

test("on a terminal of 80 columns no line of log wraps, whatever stands in it; through a pipe nothing is cut", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  const wide = "漢字かな交じり文😀".repeat(12);
  const model = user.script([
    {
      say: LONG,
      call: [bash(`echo '${LONG}' > a.txt`), put(`${"deep/".repeat(30)}file.txt`, "x\n"), bash("false; exit 3")],
    },
    { say: wide, call: [bash(`true '${wide}'; exit 1`)] },
    { say: "e\u0301".repeat(200), call: [bash("sleep 0 \u001b[31m \u0007 \t \r x")] },
    { say: "the end" },
  ]);
  await user.does(["run", "--scope", "fix", "--model", model, LONG]);
  const piped = (await user.does(["log", "fix"])).out.trimEnd().split("\n");
  expect(piped.join("\n")).toContain(LONG.trim());
  for (const columns of [80, 60]) {
    const shown = await onTerminal("$SHEPHERD log fix", columns);
    // One line of the terminal for each row, and each with its number.
    expect(shown.map((line) => line.replace(/\x1b\[[\d;]*m/g, "").slice(0, 5))).toEqual(
      piped.map((line) => line.slice(0, 5)),
    );
    expect(shown[0]).toContain("\x1b[");
  }
  const plain = await onTerminal("$SHEPHERD log fix", 80, { NO_COLOR: "1" });
  expect(plain.join("")).not.toContain("\x1b[");
  expect(plain).toHaveLength(piped.length);
});

test("on a terminal sentences are folded between words, and commands to type stay whole; through a pipe they are one line", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  await user.does(["run", "--scope", "a-long-name-of-a-run", "--", "touch", "new.txt"]);
  const line = "$SHEPHERD run --scope a-long-name -- touch new.txt < /dev/null; $SHEPHERD run; $SHEPHERD doctor";
  const shown = (await onTerminal(line, 50, { NO_COLOR: "1" })).map((each) => each.trimEnd());
  expect(shown.filter((each) => each.length > 50)).toEqual([]);
  const text = shown.join("\n");
  for (const whole of ["`shepherd merge a-long-name`", "`shepherd revert a-long-name N`", "`shepherd run -- COMMAND…`"])
    expect(text).toContain(whole);
  expect(text).toMatch(/are\s+untouched\.\nNext:/);
  expect((await user.does(["run"], 2)).err.split("\n")).toHaveLength(2);
});

test("on a terminal a run asks at its end whether to land; through a pipe it does not", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  const model = user.script([{ call: [put("new.txt", "x\n")] }, { say: "the end" }]);
  // The answer waits in the terminal before it is asked.
  const shown = await onTerminal(
    `{ sleep 0.2; tmux send-keys -t "$TMUX_PANE" y Enter; } & $SHEPHERD run --model ${model} x; wait`,
    100,
  );
  expect(shown.join("\n")).toMatch(/Land that in .*\? \[y\/N\]/);
  expect(user.read("new.txt")).toBe("x\n");
  await user.does(["undo"]);
  const piped = await user.does(["run", "--model", model, "x"]);
  expect(piped.err).toBe("");
  expect(Object.keys(user.files())).toEqual(["a.txt"]);
});

test("Ctrl-C and Ctrl-D at a question mean no", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  const model = user.script([{ call: [put("new.txt", "x\n")] }, { say: "the end" }]);
  for (const key of ["C-c", "C-d"]) {
    const asks = 'until tmux capture-pane -p -t "$TMUX_PANE" | grep -q "y/N"; do sleep 0.05; done';
    const shown = await onTerminal(
      `{ ${asks}; tmux send-keys -t "$TMUX_PANE" ${key}; } & $SHEPHERD run --model ${model} x; echo "ended $?"; wait`,
      100,
    );
    expect(shown.join("\n"), key).toMatch(/your own files in .* are/);
    expect(shown, key).toContain("ended 0");
    expect(Object.keys(user.files())).toEqual(["a.txt"]);
  }
});

test("a command that Ctrl-C ends was stopped and has not failed; what goes on with it is named", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  for (const verb of ["run --land auto", "gateway --land auto"]) {
    const begun = 'until tmux capture-pane -p -t "$TMUX_PANE" | grep -q begun; do sleep 0.05; done';
    const shown = await onTerminal(
      `{ ${begun}; tmux send-keys -t "$TMUX_PANE" C-c; } & $SHEPHERD ${verb} --scope it -- sh -c 'echo x > x.txt; printf %s be gun; sleep 60'; echo "ended $?"; wait`,
      200,
    );
    expect(shown.join("\n"), verb).toMatch(
      /it was stopped and changed 1 file \(\+1 -0\); your own files in .* are untouched/,
    );
    expect(shown.join("\n"), verb).toContain("shepherd resume it");
    expect(shown, verb).toContain("ended 1");
    expect((await user.does(["status", "--json"])).objects()).toMatchObject([{ state: "aborted" }]);
    fs.rmSync(user.store, { recursive: true });
  }
});

test("who works with Claude Code on the terminal is told first what it may do there", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  const program = join(user.project, "claude");
  fs.writeFileSync(program, '#!/bin/sh\n[ "$1" = --version ] && echo "2.1.329 (Claude Code)" || echo works\n', {
    mode: 0o755,
  });
  const env = { PATH: `${user.project}:${user.env.PATH}`, ANTHROPIC_API_KEY: "sk-planted-key" };
  const shown = async (words: string): Promise<string> =>
    (await onTerminal(`$SHEPHERD run claude ${words} < /dev/tty`, 250, env)).join("\n");
  const asks = "claude asks for no permissions here, since it works on files of its own:";
  expect(await shown("")).toMatch(
    new RegExp(
      `${asks} what it changes comes into ${user.project} as it goes, and .shepherd revert. takes it back\\.\nworks`,
    ),
  );
  expect(await shown("--land never")).toContain(`${asks} ${user.project} stays as it is.`);
});

test("a supervisor has a line for each worker, drawn anew in place, and what is decided stands above", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  user.write({ "src/kept.txt": "kept\n" });
  const turns = [1, 2, 3].map((n) => ({
    call: [bash(`sleep 0.5; echo '${LONG}' > $(tr -dc a-f < /dev/urandom | head -c 12)${n}`)],
  }));
  const model = user.script([...turns, { call: [bash("rm -rf src")] }, { say: "the end" }]);
  const shown = await onTerminal(
    `$SHEPHERD supervise --every 500ms --worker-model ${model} one two three < /dev/null`,
    80,
    { NO_COLOR: "1" },
  );
  expect(shown.filter((line) => line.length > 80)).toEqual([]);
  for (const name of ["one", "two", "three"]) {
    // One line that was drawn many times, one for what it was not allowed, one for its end, one for its merge.
    expect(shown.filter((line) => line.startsWith(`${name} `))).toHaveLength(4);
    expect(shown.find((line) => line.startsWith(`${name} `) && /files/.test(line))).toMatch(
      / done +\d+ +0k +3 files {2}\S/,
    );
    expect(shown.join("\n")).toMatch(new RegExp(`^${name} +denied step \\d+, bash: It would destroy`, "m"));
  }
});

test("a reader that has seen enough is no error", async () => {
  const model = user.script([
    ...Array.from({ length: 5 }, () => ({ say: LONG.repeat(30), call: [bash("true")] })),
    { say: "end" },
  ]);
  await user.does(["run", "--scope", "fix", "--model", model, "x"]);
  for (const verb of ["log fix", "log fix --json", "show fix 1", "log fix --follow", "--help", "status", "diff fix"]) {
    const { err, out } = shell(`$SHEPHERD ${verb} | head -c 3; echo "\${PIPESTATUS[0]}"`);
    expect(err, verb).toBe("");
    expect(out.slice(-2), verb).toBe("0\n");
  }
});

test("a run goes on when nobody reads its output any more", async () => {
  const command = `for i in 1 2 3 4 5 6 7 8 9; do echo ${"x".repeat(9000)}; sleep 0.02; done; echo done > done.txt`;
  const { out } = shell(`$SHEPHERD run --scope fix -- sh -c '${command}' | head -c 3; echo "\${PIPESTATUS[0]}"`);
  expect(out.slice(-2)).toBe("0\n");
  expect((await user.does(["cat", "fix@", "done.txt"])).out).toBe("done\n");
  expect((await user.does(["status"])).out).toMatch(/fix +done/);
});

test("output that cannot be written is an error", async () => {
  await user.does(["run", "--scope", "fix", "--", "true"]);
  const { code, err } = shell("$SHEPHERD log fix > /dev/full");
  expect(code).toBe(4);
  expect(err).toContain("ENOSPC");
});

test("a run goes on to its end where its output cannot be written, says so once, and its code does", async () => {
  const unshown = "shepherd: What was to be shown could not be written (ENOSPC).\n";
  const command = "for i in 1 2 3; do echo $i; sleep 0.1; done; echo done > done.txt";
  for (const [at, to, says] of [
    ["json", "--json", unshown],
    ["text", "", unshown],
    ["err", "", ""],
  ] as const) {
    const full = at === "err" ? "echo x >&2; " : "";
    const told = shell(`$SHEPHERD run --scope ${at} ${to} -- sh -c '${full}${command}' ${full ? "2" : ""}> /dev/full`);
    expect([told.code, told.err], at).toEqual([4, says]);
    expect((await user.does(["cat", `${at}@`, "done.txt"])).out).toBe("done\n");
    expect((await user.does(["status"])).out).toMatch(new RegExp(`${at} +done`));
  }
});

test("without a terminal there are no colours and no escapes, with NO_COLOR neither", async () => {
  const done = await user.does(["run", "--scope", "fix", "--", "sh", "-c", "echo x > a.txt; exit 1"], 1);
  for (const { out, err } of [
    done,
    ...(await Promise.all([["log"], ["status"], ["diff"], ["doctor"]].map((args) => user.shepherd(args)))),
    await user.shepherd(["log"], { env: { FORCE_COLOR: "1" } }),
  ])
    expect(out + err).not.toContain("\x1b");
});

test("Ctrl-C once stops the run and leaves it sound: it is resumed to its end", async () => {
  const model = user.script([
    { say: "a", call: [put("one.txt", "1\n"), bash("echo begun > begun.txt; sleep 60; echo never > never.txt")] },
    { say: "b", call: [put("two.txt", "2\n")] },
    { say: "the end" },
  ]);
  const run = user.start(["run", "--scope", "fix", "--model", model, "x"]);
  await until(() => workspacesIn(user.store).some((path) => fs.existsSync(join(path, "begun.txt"))));
  run.process.kill("SIGINT");
  const { code, out, err } = await run.ended;
  expect(code).toBe(1);
  expect(err).toContain("shepherd: stopping; once more to end at once.");
  expect(out).toContain("fix was stopped");
  expect((await user.does(["status"])).out).toMatch(/fix +aborted/);
  expect((await user.does(["log"])).out).toMatch(/sleep 60.*✗ aborted/);
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
  await user.does(["resume"]);
  expect((await user.does(["status"])).out).toMatch(/fix +done/);
  expect((await user.does(["cat", "fix@", ""])).out).toBe("a.txt\nbegun.txt\none.txt\ntwo.txt\n");
});

test("Ctrl-C twice ends at once, and the run can still be resumed", async () => {
  const run = user.start(["run", "--scope", "fix", "--", "bash", "-c", "trap '' INT TERM; echo begun; exec sleep 60"]);
  await until(() => /^begun$/m.test(run.out));
  run.process.kill("SIGINT");
  await until(() => run.err.includes("once more"));
  run.process.kill("SIGINT");
  const { code } = await run.ended;
  expect([1, 130]).toContain(code);
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
  await user.does(["exec", "fix", "--", "true"]);
  expect((await user.does(["log"])).out).toMatch(/✗ aborted/);
});

test("Ctrl-C ends a shell that reads from a pipe, and verbs that only look", async () => {
  await user.does(["run", "--scope", "fix", "--", "true"]);
  const run = user.start(["shell"], { input: "printf %s be gun; sleep 60\necho never > never.txt\n" });
  await until(() => /^begun$/m.test(run.out));
  run.process.kill("SIGINT");
  expect((await run.ended).code).toBe(1);
  expect((await user.does(["cat", "fix@", ""])).out).toBe("a.txt\n");
  const waits = user.start(["run", "--scope", "long", "--", "sh", "-c", "printf %s be gun; sleep 60"]);
  await until(() => /^begun$/m.test(waits.out));
  const follow = user.start(["log", "long", "--follow"]);
  await until(() => follow.out.includes("run "));
  follow.process.kill("SIGINT");
  expect([0, 1]).toContain((await follow.ended).code);
  waits.process.kill("SIGTERM");
  expect((await waits.ended).code).toBe(1);
});

test("Ctrl-C ends a diff of many files in its midst", async () => {
  const many = "for i in $(seq 300); do seq 1000 > many$i; done";
  await user.does(["run", "--scope", "fix", "--", "sh", "-c", many]);
  const diff = user.start(["diff", "fix", "1"]);
  const { stdout } = diff.process;
  // It cannot write on before it is read on, so it is in its midst.
  stdout!.once("data", () => {
    stdout!.pause();
    diff.process.kill("SIGINT");
    setTimeout(() => stdout!.resume(), 50);
  });
  const { code, out, err } = await diff.ended;
  expect([code, err]).toEqual([1, "\nshepherd: stopping; once more to end at once.\nshepherd: stopped.\n"]);
  expect(out).not.toContain("many99\n");
});
