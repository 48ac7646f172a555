/** Renames of directories in an ordinary user's overlays: see native/renames.c. */
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { inMemory } from "../../../test/support/memory.ts";
import { runs } from "../../../test/support/runs.ts";
import { abilities, base, root, script, users } from "../../../test/support/sandboxed.ts";
import { findProgram } from "./tools.ts";

const compiler = findProgram("cc");

/** A program of ours: that which renames, or that which renames beside writers. */
function program(name: "renames" | "writers"): string {
  const file = path.join(base, name);
  if (!fs.existsSync(file))
    execFileSync(compiler!, ["-D_GNU_SOURCE", "-pthread", "-o", file, `test/support/${name}.c`]);
  return file;
}

/** What it works on, in a directory that is a layer or a plain one, and a sandbox that shows it. */
const RIG = `
import { execFileSync } from "node:child_process";
import path from "node:path";
import { findHelper, helperOf } from "./scope/exec/helper.js";
import { openSandbox } from "./scope/exec/sandbox.js";
import { detectMethod } from "./scope/exec/abilities.js";
const { method } = await detectMethod();
const helper = method && "helper" in method ? await helperOf(method.helper, method.how) : null;
if (!helper || method.how !== "userns" || helper.renames !== "sandbox") {
  console.log("none");
  process.exit();
}
const fill = (room) => {
  const write = (name, text = name) => {
    fs.mkdirSync(path.dirname(room + "/" + name), { recursive: true });
    fs.writeFileSync(room + "/" + name, text);
  };
  for (let i = 0; i < 1000; i++) write("big/" + i);
  for (const name of ["deep/b/c/f", "full/x", "one/f", "two/f", "three/f", "four/f", "real/sub/f", "sixth/f", "file", "other"]) write(name);
  for (const name of ["locked/ro/f", "locked/none/f", "open/log", "open/more/f", "names/a"]) write(name);
  for (let i = 0; i < 40; i++) write("many/" + i + "/x/y");
  fs.mkdirSync(room + "/empty");
  fs.symlinkSync("real", room + "/link");
  fs.chmodSync(room + "/locked/ro", 0o555);
  fs.chmodSync(room + "/locked/none", 0);
};
const sandboxOf = (from) => openSandbox({
  binds: [{ from, to: at("proj"), mode: "rw" }], tmp: at("tmp"), network: "host",
  env: { PATH: process.env.PATH, HOME: "/nonexistent", GIT_CONFIG_COUNT: "0" },
});
const layered = async (name) => {
  for (const each of ["at", "upper", "work"]) fs.mkdirSync(at(name + "/" + each), { recursive: true });
  await helper.overlay({ at: at(name + "/at"), upper: at(name + "/upper"), work: at(name + "/work"), lower: [at(name + "/lower")] });
  return "/proc/" + helper.pid + "/root" + at(name + "/at");
};
const say = async (sandbox, ...argv) => {
  const { output, code } = await sandbox.exec({ argv });
  return output.toString() + (code === 0 ? "" : "[" + code + "]");
};
`;

const ordinary = users.filter(([, , uid]) => uid !== 0 || root);

/** What a script says as a user; null where there are no such overlays. */
function says(as: readonly string[], name: string, text: string, more: Record<string, string> = {}): string[] | null {
  const { file, room, env } = script(name, RIG + text, inMemory);
  const [first, ...words] = [...as, process.execPath, file];
  const programs = { RENAMES: program("renames"), WRITERS: program("writers") };
  const done = spawnSync(first!, words, { env: { ...env, ...more, ...programs }, encoding: "utf8" });
  // What the user has closed to himself is closed to whoever removes the room, unless root does.
  spawnSync("chmod", ["-R", "u+rwX", room]);
  fs.rmSync(room, { recursive: true });
  expect(done.stderr).toBe("");
  if (done.stdout === "none\n") {
    console.log("Tests of renames are skipped: this user has no overlays here.");
    return null;
  }
  return JSON.parse(done.stdout) as string[];
}

describe.skipIf(!abilities.helper || !compiler).each(ordinary)("on layers of %s", (_, as) => {
  test("a directory is renamed as on a plain one, whatever is asked for", (context) => {
    const done = says(
      as,
      "renames",
      `
fill(at("plain"));
fill(at("l/lower"));
const answers = [];
for (const from of [at("plain"), await layered("l")]) {
  const sandbox = await sandboxOf(from);
  fs.copyFileSync(process.env.RENAMES, from + "/renames");
  fs.chmodSync(from + "/renames", 0o755);
  answers.push(await say(sandbox, "./renames"));
  await sandbox.dispose();
}
console.log(JSON.stringify(answers));
`,
    );
    if (!done) return context.skip();
    const [plain, layered] = done;
    expect(plain).toContain("a large directory: done\n");
    expect(layered).toBe(plain);
  });

  test("programs rename them: git, mv, node, python", (context) => {
    const done = says(
      as,
      "programs",
      `
fill(at("l/lower"));
const sandbox = await sandboxOf(await layered("l"));
const node = (text) => say(sandbox, process.execPath, "-e", text);
console.log(JSON.stringify([
  await say(sandbox, "bash", "-c", "git init -q . && git add file one two && git mv one first && git status --short && ls one first"),
  await say(sandbox, "bash", "-c", "mv two second && ls second two"),
  await node('fs.renameSync("big", "large"); console.log(fs.readdirSync("large").length, fs.existsSync("big"))'),
  // As npm does with a package that it replaces.
  await node('fs.renameSync("deep/b", "deep/.b-x1"); fs.mkdirSync("deep/b"); fs.writeFileSync("deep/b/new", ""); fs.rmSync("deep/.b-x1", { recursive: true }); console.log(fs.readdirSync("deep").join(), fs.readdirSync("deep/b").join())'),
  process.env.PYTHON ? await say(sandbox, process.env.PYTHON, "-c", "import os; os.rename('three', 'third'); print(os.listdir('third'))") : "['f']\\n",
]));
await sandbox.dispose();
`,
      fs.existsSync("/usr/bin/python3") ? { PYTHON: "/usr/bin/python3" } : {},
    );
    if (!done) return context.skip();
    expect(done).toEqual([
      // Above that it may warn of what it could not read, if it comes to that before anything else.
      expect.stringMatching(/^A {2}file\nA {2}first\/f\nA {2}two\/f\n.*first:\nf\n\[2\]$/ms),
      expect.stringMatching(/second:\nf\n\[2\]$/),
      "1000 false\n",
      "b new\n",
      "['f']\n",
    ]);
  });

  test("one that cannot be is as it was, and so is one whose caller is killed", (context) => {
    const done = says(
      as,
      "failing",
      `
fill(at("l/lower"));
for (let i = 0; i < 300; i++) fs.mkdirSync(at("l/lower/abyss/" + "d/".repeat(i)), { recursive: true });
fs.writeFileSync(at("l/lower/abyss/f"), "");
const from = await layered("l");
const sandbox = await sandboxOf(from);
const look = () => execFileSync("bash", ["-c", 'cd "$1"; find . -mindepth 1 -type d -printf "%p %m %T@\\n" -o -printf "%p %m %s %T@ %n\\n" 2>/dev/null | sort', "look", from]).toString();
fs.chmodSync(from + "/locked/none", 0o700);
const before = look();
const deep = await say(sandbox, process.execPath, "-e", 'try { fs.renameSync("abyss", "x"); console.log("done") } catch (e) { console.log(e.code) }');
const between = look();
const killed = await say(sandbox, "bash", "-c", process.execPath + ' -e \\'fs.renameSync("big", "x")\\' & sleep 0.1; for i in $(seq 50); do sleep 0.02; if ls -A | grep -q renamed; then break; fi; done; kill -9 %1; wait; echo');
let after = "";
for (let i = 0; i < 200 && ((after = look()).includes("shepherd-renamed") || i === 0); i++) await new Promise((r) => setTimeout(r, 20));
const whole = after === before || (after.includes("./x/999 ") && !/[.]\\/big|renamed/.test(after));
const on = await say(sandbox, "bash", "-c", "mv full fuller; ls fuller");
await sandbox.dispose();
console.log(JSON.stringify([deep, String(between === before), String(whole), on]));
`,
    );
    if (!done) return context.skip();
    expect(done).toEqual(["EXDEV\n", "true", "true", "x\n"]);
  });

  test("beside processes that write, replace and remove in it without end it is as on a plain one", (context) => {
    const done = says(
      as,
      "writers",
      `
fs.mkdirSync(at("l/lower"), { recursive: true });
const run = (at, ...words) => execFileSync(process.env.WRITERS, words, { cwd: at }).toString();
const rounds = Number(process.env.ROUNDS);
const said = [];
for (let i = 0; i < rounds; i++) run(at("l/lower"), "d" + i, "fill", "0");
const from = await layered("l");
fs.copyFileSync(process.env.WRITERS, from + "/writers");
fs.chmodSync(from + "/writers", 0o755);
const sandbox = await sandboxOf(from);
// Commands that come meanwhile, and processes that are stopped, or wait for others.
let over = false;
const beside = async (...argv) => {
  while (!over) said.push(await say(sandbox, ...argv));
};
const all = [
  beside("true"),
  beside("bash", "-c", "{ set -m; sleep 0.1 & wait $!; jobs; } 2>&1 | grep Stopped; true"),
  beside("bash", "-c", ": >/tmp/$$; (while :; do echo >>/tmp/$$; done) & kill -STOP $!; sleep 0.1; a=$(stat -c %s /tmp/$$); sleep 0.3; stat -c %s /tmp/$$ | grep -vx \\"$a\\"; kill -9 $!; true"),
];
for (let i = 0; i < rounds; i++) said.push(await say(sandbox, "./writers", "d" + i, "e" + i, String(Date.now() % 1e6)));
over = true;
await Promise.all(all);
console.log(JSON.stringify(said.filter((each) => each !== "")));
await sandbox.dispose();
`,
      { ROUNDS: String(runs(500, 10)) },
    );
    if (!done) return context.skip();
    expect(done).toEqual([]);
  });

  test("where somebody stands in it, or it has what a new one would lack, it is refused, as a copy is then made", (context) => {
    const done = says(
      as,
      "refused",
      `
fill(at("l/lower"));
const sandbox = await sandboxOf(await layered("l"));
const rename = (from, to) => process.execPath + " -e 'try { fs.renameSync(\\"" + from + "\\", \\"" + to + "\\") } catch (e) { console.log(e.code) }'";
console.log(JSON.stringify([
  await say(sandbox, "bash", "-c", "cd deep/b; " + rename("../../deep", "../../x") + "; ls; cd ../..; " + rename("deep", "x") + "; ls x"),
  await say(sandbox, "bash", "-c", "exec 5<one; " + rename("one", "x1") + "; exec 5<&-; " + rename("one", "x1") + "; ls x1"),
  // A copy is made where the kernel refuses.
  await say(sandbox, "bash", "-c", "exec 5<two; mv two x2; ls x2; ls -d two; true"),
  // One that has ended stands nowhere, also if its parent has not taken note of that.
  await say(sandbox, "bash", "-c", "sleep 0.01 & exec " + process.execPath + " -e 'setTimeout(() => { fs.renameSync(\\"four\\", \\"x4\\"); console.log(fs.readdirSync(\\"x4\\").join()) }, 300)'"),
  process.env.PYTHON ? await say(sandbox, process.env.PYTHON, "-c", "import os; os.setxattr('three', 'user.a', b'a')\\ntry: os.rename('three', 'x3')\\nexcept OSError as e: print(e.errno, os.listdir('three'), os.getxattr('three', 'user.a'))") : "18 ['f'] b'a'\\n",
]));
await sandbox.dispose();
`,
      fs.existsSync("/usr/bin/python3") ? { PYTHON: "/usr/bin/python3" } : {},
    );
    if (!done) return context.skip();
    expect(done).toEqual([
      "EXDEV\nc\nb\n",
      "EXDEV\nf\n",
      expect.stringMatching(/^f\n.*two.*No such file/s),
      "f\n",
      "18 ['f'] b'a'\n",
    ]);
  });

  test("it waits while somebody outside looks at the files", (context) => {
    const done = says(
      as,
      "quiet",
      `
fill(at("l/lower"));
const from = await layered("l");
const sandbox = await sandboxOf(from);
let moving;
const seen = await sandbox.quiet(async () => {
  moving = say(sandbox, "mv", "big", "large");
  const on = await say(sandbox, "bash", "-c", "mv file file2; ls -d file2");
  await new Promise((r) => setTimeout(r, 200));
  return [on, ...fs.readdirSync(from).filter((name) => /big|large|renamed/.test(name)), String(fs.readdirSync(from + "/big").length)];
});
console.log(JSON.stringify([...seen, await moving, String(fs.readdirSync(from + "/large").length)]));
await sandbox.dispose();
`,
    );
    if (!done) return context.skip();
    expect(done).toEqual(["file2\n", "big", "1000", "", "1000"]);
  });

  test("who looks after them can be neither killed nor seen, and works as long as anything runs", (context) => {
    const done = says(
      as,
      "background",
      `
fill(at("l/lower"));
const sandbox = await sandboxOf(await layered("l"));
await say(sandbox, "bash", "-c", "(sleep 0.5; mv two second; ls second > said) >/dev/null 2>&1 &");
const running = (await sandbox.processes()).length;
await say(sandbox, "bash", "-c", "kill -9 1; mv one first");
await new Promise((r) => setTimeout(r, 1000));
const later = await say(sandbox, "bash", "-c", "cat said; ls first; ls -l /proc/1/fd 2>&1 | grep -c socket");
await sandbox.killAll();
const on = await say(sandbox, "bash", "-c", "mv full fuller; ls fuller");
await sandbox.dispose();
console.log(JSON.stringify([String(running > 0), later, on]));
`,
    );
    if (!done) return context.skip();
    expect(done).toEqual(["true", "f\nf\n0\n[1]", "x\n"]);
  });
});
