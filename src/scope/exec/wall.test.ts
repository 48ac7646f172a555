/** Landlock, the second wall: what it stops that mounts let pass, and that what works without it works behind it. */
import { execFileSync, spawnSync } from "node:child_process";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { abilities, base, root, script, users } from "../../../test/support/sandboxed.ts";
import { findProgram } from "./tools.ts";

const { landlock = 0 } = abilities;
if (landlock === 0) console.log("Tests of Landlock are skipped: there is none here, or no helper.");
const all = [...(root ? [["root", [], 0] as (typeof users)[number]] : []), users[0]!];

describe.skipIf(landlock === 0).each(all)("behind Landlock, as %s", (_, as) => {
  const runs = (name: string, text: string): unknown => {
    const { file, env } = script(name, text);
    const [first, ...words] = [...as, process.execPath, file];
    const done = spawnSync(first!, words, { env, encoding: "utf8" });
    expect(done.stderr).toBe("");
    return JSON.parse(done.stdout);
  };

  test("nobody hears what is written to a pipe of the host, which a read-only mount lets pass", () => {
    const heard = runs(
      "pipe",
      `
import { execFileSync } from "node:child_process";
fs.mkdirSync(at("outer"));
execFileSync("mkfifo", [at("outer/pipe")]);
const reader = fs.openSync(at("outer/pipe"), fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
const sandbox = await open({ binds: [{ from: at("store/ws"), to: at("proj"), mode: "rw" }, { from: at("outer"), to: "/var/lib/outer", mode: "ro" }] });
const heard = [];
for (const alone of [false, true]) {
  await sandbox.exec({ argv: ["bash", "-c", "echo escaped > /var/lib/outer/pipe"], alone });
  const bytes = Buffer.alloc(64);
  try { heard.push(bytes.toString("latin1", 0, fs.readSync(reader, bytes))); } catch (error) { heard.push(error.code); }
}
await sandbox.dispose();
console.log(JSON.stringify(heard));
`,
    );
    expect(heard).toEqual(["escaped\n", "EAGAIN"]);
  });

  test("nothing is written where nothing was granted, though no mount is read-only", () => {
    const { without, behind, left } = runs(
      "bare",
      `
import { spawnSync } from "node:child_process";
import { findHelper, helperOf } from "./scope/exec/helper.js";
const program = findHelper();
const how = process.getuid() === 0 ? "root" : "userns";
const held = await (await helperOf(program, how)).open("host", false, ["proc", "/proc"]);
const kinds = [...(how === "userns" ? ["user"] : []), "mnt", "pid_for_children"];
const files = kinds.map((kind) => "/proc/" + held.pid + "/ns/" + kind);
const odd = "ours ü %41\\n";
const script = () => \`cd "$1" || exit
try() { if "$@" 2>/dev/null; then echo yes; else echo no; fi; }
try touch new; try mkdir made; try cp /etc/hostname file; try truncate -s 0 file; try mv old renamed; try mv renamed sub/; try ln sub/renamed .
try ln -s x link; try mkfifo pipe; try rm gone; try rmdir empty; try python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'\`;
const prepare = (dir) => {
  for (const name of ["", "sub", "empty"]) fs.mkdirSync(at(dir + "/" + name), { recursive: true });
  for (const name of ["file", "old", "gone"]) fs.writeFileSync(at(dir + "/" + name), name);
};
const answers = (dir, some) => {
  const grants = some.length > 0 ? ["~/dev", ...some] : [];
  prepare(dir);
  const done = spawnSync(program, ["enter", ...grants, ...files, "--", "/bin/bash", "--norc", "-c", script(), "x", at(dir)], { encoding: "utf8", env: { PATH: process.env.PATH } });
  return done.stderr + done.stdout.split("\\n").join(" ").trim();
};
const grant = "+" + Buffer.from(at(odd)).toString("latin1").replace(/[%\\x80-\\xff]/g, (c) => "%" + c.charCodeAt(0).toString(16));
prepare(odd);
const without = [answers("theirs", [])];
const behind = [answers(odd, [grant]), answers("other", [grant]), answers("none", ["+/nowhere"])];
const left = fs.readdirSync(at("other")).sort().join(" ") + fs.readFileSync(at("other/file"), "utf8");
await held.end();
console.log(JSON.stringify({ without, behind, left }));
`,
    ) as { without: string[]; behind: string[]; left: string };
    const [yes, no] = ["yes", "no"].map((word) => Array(12).fill(word).join(" "));
    expect(without).toEqual([yes]);
    expect(behind).toEqual([yes, no, no]);
    expect(left).toBe("empty file gone old subfile");
  });

  test("what builds and programs do works as before", () => {
    const tried = runs(
      "works",
      `
fs.writeFileSync(at("store/ws/tried"), ${JSON.stringify(TRIED)}, { mode: 0o755 });
const sandbox = await open({ env: { PATH: process.env.PATH, HOME: at("proj") } });
const said = [];
for (const alone of [false, true]) {
  const { output } = await sandbox.exec({ argv: ["bash", "./tried"], alone });
  said.push(output.toString());
  const [one] = await sandbox.processes();
  said.push(one?.command ?? "");
  // Who is behind no wall may look at what is.
  const look = await sandbox.exec({ argv: ["bash", "-c", "for p in /proc/[0-9]*; do if grep -qs 'sleep' $p/comm; then readlink $p/exe; fi; done"] });
  said.push(look.output.toString());
  await sandbox.killAll();
}
await sandbox.dispose();
console.log(JSON.stringify(said));
`,
    ) as string[];
    expect(tried[0]).toContain("done");
    expect(tried[0]).not.toMatch(/rror|denied|refused/);
    expect(tried.slice(3)).toEqual(tried.slice(0, 3));
    expect(tried[2]).toMatch(/sleep/);
  });
});

test.skipIf(!abilities.helper || !findProgram("cc"))("where the kernel has no Landlock all works without it", () => {
  const without = path.join(base, "without");
  execFileSync("cc", ["-o", without, path.resolve("test/support/escape/without.c")]);
  const { file, env } = script(
    "none",
    `const sandbox = await open();
const { output } = await sandbox.exec({ argv: ["bash", "-c", "mkdir a b; echo on > a/f; mv a/f b/; cat b/f"], alone: true });
console.log(JSON.stringify([sandbox.abilities.landlock, output.toString()]));
await sandbox.dispose();`,
  );
  const done = spawnSync(without, ["444", process.execPath, file], { env, encoding: "utf8" });
  expect([done.stderr, done.stdout]).toEqual(["", '[0,"on\\n"]\n']);
});

const has = (name: string): boolean => spawnSync("which", [name]).status === 0;

/** What an agent's commands do in an hour, in a second. */
const TRIED = `exec 2>&1
set -e
rm -rf room; mkdir room; cd room
mkdir a b; echo 1 > a/f; mv a/f b/g; ln b/g a/h; mv b c; mv c a/c; ln -s a/h l; rm -r a; echo moved
mkfifo p; (echo piped > p &); cat p
echo x > /dev/null; echo to-stderr > /dev/stderr; echo to-stdout | tee /dev/stdout > /dev/null
echo 0 > /proc/self/oom_score_adj; echo written
exec 5<>/dev/ptmx; stty -F /dev/ptmx -a >/dev/null; exec 5>&-; echo terminal
${
  has("python3")
    ? `python3 - <<'P'
import os, mmap, socket, tempfile, multiprocessing.shared_memory as sm, fcntl, subprocess
fd = os.open(".", os.O_TMPFILE | os.O_RDWR); os.write(fd, b"unnamed")
os.link(f"/proc/self/fd/{fd}", "named", src_dir_fd=os.open("/", os.O_RDONLY), follow_symlinks=True); print(open("named").read())
m = sm.SharedMemory(create=True, size=4096); m.buf[0] = 7; n = sm.SharedMemory(m.name); print(n.buf[0]); n.close(); m.close(); m.unlink()
d = tempfile.mkdtemp(); s = socket.socket(socket.AF_UNIX); s.bind(d + "/s"); s.listen(); c = socket.socket(socket.AF_UNIX); c.connect(d + "/s"); print("unix")
t = socket.socket(); t.bind(("127.0.0.1", 0)); t.listen(); socket.create_connection(t.getsockname()); print("loopback")
b = socket.socket(socket.AF_UNIX); b.bind("\\0abstract-%d" % os.getpid()); print("abstract")
f = open("mapped", "w+b"); f.truncate(4096); x = mmap.mmap(f.fileno(), 4096); x[0:2] = b"hi"; x.flush(); fcntl.flock(f, fcntl.LOCK_EX); print(open("mapped").read(2))
p = subprocess.Popen(["sleep", "50"], env={"MARK": "1"}); import time
while "sleep" not in open(f"/proc/{p.pid}/comm").read(): time.sleep(0.01)
print(open(f"/proc/{p.pid}/environ").read(), len(os.listdir(f"/proc/{p.pid}/fd"))); p.kill()
P
python3 -m venv --without-pip venv; venv/bin/python -c 'print("venv")'`
    : ""
}
${has("cc") ? `echo 'int main(){return 7;}' > m.c; cc -o m m.c; ./m || echo compiled $?` : ""}
${
  has("git")
    ? `git init -q .; git -c user.name=a -c user.email=a@b add -f l named 2>/dev/null || git add -f l; git -c user.name=a -c user.email=a@b commit -qm one; mkdir d; git mv l d/; git stash -q; git gc -q; git worktree add -q ../tree; git worktree remove --force ../tree; git branch -D tree -q; echo git`
    : ""
}
${has("npm") ? `mkdir dep; echo '{"name":"dep","version":"1.0.0","bin":"x.js"}' > dep/package.json; echo > dep/x.js; npm install --silent --no-audit --no-fund --offline --install-links ./dep && ls node_modules/.bin` : ""}
${has("gdb") ? `sleep 40 & if gdb -q -batch -p $! 2>&1 | grep -q permitted; then echo refused; else echo attached; fi; kill $!` : ""}
setsid sleep 1000 >/dev/null 2>&1 < /dev/null &
until grep -qs sleep /proc/$!/comm; do sleep 0.01; done
echo done
`;
