/** The main job as an ordinary user, also where the tests run as root: with user namespaces, without, and where the system denies them. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bash, newUser, put } from "../support/user.ts";

const root = process.getuid?.() === 0;
const uid = root ? 1000 : process.getuid!();
const gid = root ? 1000 : process.getgid!();
const ordinary = root ? ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"] : [];
/** In a user namespace of its own, where no further one can be made: the setting holds there, and nowhere else. */
const denied = [
  ...ordinary,
  ...["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c"],
  'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all -- "$@"',
  "sh",
];

interface Mode {
  mode: string;
  as: string[];
  off?: boolean;
  /** What `doctor` says about the sandbox there. */
  says: RegExp;
}

const MODES: Mode[] = [
  { mode: "with user namespaces", as: ordinary, says: /in a user namespace/ },
  { mode: "with namespaces switched off", as: ordinary, off: true, says: /SHEPHERD_NO_NAMESPACES/ },
  { mode: "where the system denies namespaces", as: denied, says: /sysctl -w user.max_user_namespaces/ },
];

/** Everything at and below a directory. */
function* everything(directory: string): Generator<string> {
  yield directory;
  for (const each of fs.readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, each.name);
    if (each.isDirectory()) yield* everything(path);
    else yield path;
  }
}

/** The scope's own /tmp, wherever that is. */
const mine = '"$(dirname "$(mktemp -u)")/mine"';
const FIRST = [
  { say: "I look", call: [bash("id -u; pwd; cat a.txt"), put("new.txt", "new\n")] },
  { say: "I work", call: [bash(`sed -i s/one/two/ a.txt; chmod 700 sub; ./run.sh; echo t > ${mine}`)] },
  { say: "I spoil it", call: [bash("rm -rf sub run.sh b.txt; echo spoilt > a.txt")] },
  { say: "done" },
];
const MORE = [
  ...FIRST.slice(0, 2),
  { say: "I go on", call: [bash(`cat ${mine} >> a.txt; git add -A; git commit -qm more`)] },
  { say: "done" },
];

test.concurrent.for(MODES)("an ordinary user can do the main job $mode", async ({ mode, as, off, says }, context) => {
  const user = await newUser({ "a.txt": "one\n", "b.txt": "b\n", "sub/c.txt": "c\n", empty: null }, as);
  context.onTestFinished(user.end);
  const { project, store, does } = user;
  const { SHEPHERD_NO_NAMESPACES: _, ...env } = user.env;
  const typed = { env: { SHEPHERD_NO_NAMESPACES: off ? "1" : undefined } };
  const type = (...words: string[]): { stdout: string; stderr: string } => {
    const [program, ...rest] = [...as, ...words];
    return spawnSync(program!, rest, { cwd: project, env: { ...env, ...typed.env }, encoding: "utf8" });
  };
  const shepherd = async (...args: string[]): Promise<string> => (await does(args, 0, typed)).out;
  /** Gives the user what the test has written. */
  const own = (): void => {
    if (root) spawnSync("chown", ["-R", `${uid}:${gid}`, user.directory]);
  };
  fs.writeFileSync(join(project, "run.sh"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
  const [first, more] = [user.script(FIRST), user.script(MORE, "more")];
  own();

  const looked = type(process.execPath, user.command, "doctor", "--json");
  const line = looked.stdout?.split("\n").find((each) => each.includes('"sandbox"'));
  const sandbox = line === undefined ? null : (JSON.parse(line) as { state: string; text: string });
  const samePath = sandbox?.state === "ok";
  // Another user, or namespaces in which to deny them, cannot be had everywhere.
  if (!sandbox || (as === ordinary && !off && !samePath)) {
    console.log(`The main job ${mode} is skipped: ${sandbox?.text ?? (looked.stderr?.trim() || "setpriv is missing")}`);
    return context.skip();
  }
  expect(sandbox.text).toMatch(says);
  type("git", "init", "-q");
  type("git", "add", "-A");
  type("git", "commit", "-qm", "first");
  const before = user.files();

  await shepherd("run", "--scope", "fix", "--model", first, "work");
  expect(user.files()).toEqual(before);
  const steps = (await does(["log", "fix", "--json"], 0, typed)).objects<{ kind: string; status: string }>();
  expect(steps.map(({ kind, status }) => `${kind} ${status}`).reverse()).toEqual(
    ["run", "model", "tool", "tool", "model", "tool", "model", "tool", "model"].map((kind) => `${kind} done`),
  );
  const shown = await shepherd("show", "fix", "2");
  expect(shown).toContain(`  ${uid}\n`);
  expect(shown.includes(`  ${project}\n`)).toBe(samePath);

  await shepherd("revert", "fix", "5");
  const look = "./run.sh; cat a.txt sub/c.txt b.txt; stat -c %a sub; ls -d empty";
  expect(await shepherd("exec", "fix", "--", "sh", "-c", look)).toBe("ran\ntwo\nc\nb\n700\nempty\n");

  // On layers the kernel would refuse it.
  const rename = "git mv sub other && cat other/c.txt && git mv other sub && git status --short sub";
  expect(await shepherd("exec", "fix", "--", "sh", "-c", rename)).toMatch(/^c\n/);

  await shepherd("run", "--from", "fix@5", "-k", "2", "--model", more, "go on");
  expect(await shepherd("cat", "fix.2@", "a.txt")).toBe("two\nt\n");
  await shepherd("merge", "fix.1");
  expect([user.read("new.txt"), user.read("a.txt")]).toEqual(["new\n", "two\nt\n"]);
  expect(fs.statSync(join(project, "run.sh")).mode & 0o777).toBe(0o755);
  await shepherd("undo");
  expect(user.files()).toEqual(before);

  const lines = "cd sub\nexport X=1\necho $X > shell.txt; pwd\nexit\n";
  expect((await does(["shell", "fix"], 0, { ...typed, input: lines })).out).toMatch(/\/sub\n/);
  user.write({ "b.txt": "mine\n" });
  own();
  await shepherd("sync", "fix");
  expect(await shepherd("exec", "fix", "--", "cat", "b.txt", "sub/shell.txt")).toBe("mine\n1\n");
  await shepherd("merge", "fix.2", "--into", "fix");
  await shepherd("discard", "fix.1", "fix.2");
  await shepherd("gc", "--work");
  expect(await shepherd("fsck", "--full")).toMatch(/^The store is sound/);
  expect(await shepherd("exec", "fix", "--", "cat", "a.txt", "b.txt")).toBe("two\nt\nmine\n");

  // All of it belongs to the user, and nobody else can look into the store.
  expect([...everything(user.directory)].filter((path) => fs.lstatSync(path).uid !== uid)).toEqual([]);
  expect(fs.statSync(store).mode & 0o777).toBe(0o700);
});
