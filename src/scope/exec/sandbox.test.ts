import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { detect, detectMethod } from "./abilities.ts";
import type { CallOptions } from "./call.ts";
import { isRoot, startHolder } from "./holder.ts";
import { nameOf, parseMounts, visible } from "./mounts.ts";
import { type Command, openSandbox, type Sandbox } from "./sandbox.ts";
import type { SandboxSpec } from "./spec.ts";
import { hasProc, processTable } from "./table.ts";
import { endLeftOver, startTracker } from "./track.ts";
import { difference, planView } from "./view.ts";

const abilities = await detect();
if (!abilities.samePath) console.log(`Tests of namespaces are skipped: ${abilities.why}`);
const linux = fs.existsSync("/proc/self/stat");

let base: string;
let opened: Sandbox[] = [];

/**
 * A user's project, its copy in a store, a home and a /tmp, all in a directory of their own. It does not lie in /tmp, since a sandbox
 * sees another one there.
 */
const modules = path.resolve("node_modules");
const outside = /^\/(var\/)?tmp(\/|$)/.test(modules) ? os.homedir() : modules;
const setUp = (where: string) => {
  base = fs.realpathSync(fs.mkdtempSync(path.join(where, "shepherd-exec-")));
  for (const name of ["user/proj/sub", "user/home/.npm", "store/ws/sub", "store/other", "tmp"])
    fs.mkdirSync(path.join(base, name), { recursive: true });
  fs.writeFileSync(path.join(base, "user/proj/file"), "original");
  fs.writeFileSync(path.join(base, "store/ws/file"), "copy");
  fs.writeFileSync(path.join(base, "store/other/secret"), "secret");
};
beforeEach(() => setUp(outside));

afterEach(async () => {
  await Promise.all(opened.map((sandbox) => sandbox.dispose()));
  opened = [];
  fs.rmSync(base, { recursive: true, force: true });
});

const at = (name: string) => path.join(base, name);
const spec = (more: Partial<SandboxSpec> = {}): SandboxSpec => ({
  binds: [{ from: at("store/ws"), to: at("user/proj"), mode: "rw" }],
  hide: [at("store")],
  tmp: at("tmp"),
  env: { PATH: process.env.PATH!, HOME: at("user/home"), LANG: "C.UTF-8" },
  network: "host",
  ...more,
});
async function open(more: Partial<SandboxSpec> = {}): Promise<Sandbox> {
  const sandbox = await openSandbox(spec(more));
  opened.push(sandbox);
  return sandbox;
}
const sh = async (sandbox: Sandbox, script: string, more: Partial<Command & CallOptions> = {}) => {
  const result = await sandbox.exec({ argv: ["bash", "-c", script], ...more });
  return { ...result, text: result.output.toString() };
};
/** Mounts of the host where a sandbox has its own; others come and go beside this. */
const mountsHere = () =>
  parseMounts(fs.readFileSync("/proc/self/mountinfo"))
    .filter(({ at: where }) => /^\/($|proc|dev|tmp$|var\/tmp$)/.test(where) || where.startsWith(base))
    .map(nameOf);
const linkOf = (file: string) => {
  try {
    return fs.readlinkSync(file);
  } catch {
    return "";
  }
};
const commandLine = (pid: number) => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
};
async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Whoever makes the namespaces, they are the same. */
const makers = !abilities.samePath
  ? []
  : abilities.helper
    ? ["the helper", "programs of the host"]
    : ["programs of the host"];
const byTools = (): void => {
  process.env.SHEPHERD_NO_HELPER = "1";
};
const byAny = (): void => {
  delete process.env.SHEPHERD_NO_HELPER;
};

describe.each(makers)("with namespaces, by %s", (maker) => {
  beforeEach(maker === "the helper" ? byAny : byTools);
  afterEach(byAny);

  test("commands see the scope's copy at the path of the user's project, and what they write stays in the copy", async () => {
    const before = mountsHere();
    const sandbox = await open();
    const result = await sh(sandbox, "pwd; cat file; echo new > sub/new; echo changed > file");
    expect(result).toMatchObject({ code: 0, signal: null, text: `${at("user/proj")}\ncopy` });
    expect(fs.readFileSync(at("store/ws/sub/new"), "utf8")).toBe("new\n");
    expect(fs.readFileSync(at("user/proj/file"), "utf8")).toBe("original");
    await sandbox.dispose();
    expect(mountsHere()).toEqual(before);
  });

  test("all may lie in the host's /tmp, which is not seen inside", async () => {
    fs.rmSync(base, { recursive: true });
    setUp(os.tmpdir());
    const sandbox = await open();
    expect((await sh(sandbox, `cat file; ls ${base} ${at("user")}; touch x`)).text.replaceAll(base, "")).toBe(
      "copy:\nuser\n\n/user:\nproj\n",
    );
    expect(fs.existsSync(at("store/ws/x"))).toBe(true);
  });

  test("it works while this process itself stands in the project", async () => {
    const cwd = process.cwd();
    process.chdir(at("user/proj"));
    try {
      const { text } = await sh(await open(), "cat file; readlink /proc/1/cwd || readlink /proc/self/cwd");
      expect(text).toBe(`copy${at("user/proj")}\n`);
    } finally {
      process.chdir(cwd);
    }
  });

  test.skipIf(process.getuid?.() !== 0)("what root can change by files of /proc is read-only", async () => {
    const { text } = await sh(
      await open(),
      "find /proc -mindepth 1 -maxdepth 1 ! -type l '(' -type d -o -perm /222 ')' -name '[a-z]*'; echo; cut -d ' ' -f 5,6 /proc/self/mountinfo",
    );
    const [names, mounts] = text.split("\n\n").map((part) => part.trim().split("\n"));
    const readOnly = mounts!.filter((line) => / ro\b/.test(line)).map((line) => line.split(" ")[0]);
    // These tell, and take nothing that changes the machine.
    const harmless = ["/proc/sysvipc", "/proc/tty", "/proc/pressure"];
    expect(names).toContain("/proc/sys");
    expect(names!.filter((name) => !readOnly.includes(name) && !harmless.includes(name))).toEqual([]);
  });

  test("the host is read-only, every mount of it, but for what is the scope's own", async () => {
    fs.mkdirSync(at("writable"));
    const sandbox = await open({ writable: [at("writable")] });
    const places = `/etc /usr /dev /sys ${at("user")} ${at("user/home")} /var /`;
    const { text } = await sh(
      sandbox,
      `for d in ${places}; do touch $d/x 2>/dev/null && echo "could write $d"; done
       for d in . sub /tmp /var/tmp /dev/shm ~/.npm ${at("writable")}; do touch $d/x || echo "could not write $d"; done
       echo > /dev/null; cat /proc/self/mountinfo`,
    );
    expect(text).not.toContain("could");
    const open1 = visible(parseMounts(Buffer.from(text.slice(text.indexOf("\n") + 1), "latin1")))
      .filter((m) => !m.flags.includes("ro") && m.type !== "devpts")
      .map((m) => m.at);
    const own = ["/proc", "/dev/shm", "/tmp", "/var/tmp", at("user/proj"), at("user/home/.npm"), at("writable")];
    expect(open1.filter((m) => !own.includes(m))).toEqual([]);
    expect(fs.existsSync(at("writable/x"))).toBe(true);
    expect(fs.readdirSync(at("tmp")).sort()).toEqual([".shepherd-cache", "x"]);
  });

  test("a device that is given can be used", async () => {
    const { text } = await sh(await open({ writable: ["/dev/full"] }), "echo x > /dev/full");
    expect(text).toContain("No space left on device");
  });

  test("the store and other hidden paths are seen empty, also through another bind", async () => {
    fs.mkdirSync(at("lib/keys"), { recursive: true });
    fs.writeFileSync(at("lib/keys/key"), "secret");
    fs.writeFileSync(at("token"), "secret");
    fs.symlinkSync(at("token"), at("link-to-token"));
    const sandbox = await open({
      binds: [
        { from: at("store/ws"), to: at("user/proj"), mode: "rw" },
        { from: at("lib"), to: at("user/proj/sub"), mode: "ro" },
      ],
      hide: [at("store"), at("lib/keys"), at("link-to-token"), at("does-not-exist")],
      writable: [base],
    });
    const { text } = await sh(
      sandbox,
      `ls -A ${at("store")} ${at("lib/keys")} sub/keys; cat ${at("token")}; ls -A sub`,
    );
    expect(text.replace(/^.*:$/gm, "").trim()).toBe("keys");
  });

  test("binds may lie in each other, in /tmp and below something hidden; the deeper one wins", async () => {
    for (const name of ["a", "b", "c"]) fs.mkdirSync(at(name));
    for (const name of ["a", "b", "c"]) fs.writeFileSync(at(`${name}/${name}`), name);
    fs.mkdirSync(at("c/inner"));
    fs.writeFileSync(at("file"), "a file");
    const sandbox = await open({
      binds: [
        { from: at("a"), to: at("store/deep/project"), mode: "rw" },
        { from: at("b"), to: at("store/deep/project/made/here"), mode: "rw" },
        { from: at("c"), to: "/tmp/of its own", mode: "ro" },
        { from: at("a"), to: "/tmp/of its own/inner", mode: "rw" },
        { from: at("file"), to: "/tmp/one/file", mode: "ro" },
      ],
    });
    const { text } = await sh(
      sandbox,
      `find . -type f | sort; cd "/tmp/of its own"; ls; ls inner; cat /tmp/one/file; ls ${at("store")}
       touch inner/x c && echo wrong; touch ${at("store/y")} && echo wrong; echo x > /tmp/one/file && echo wrong; true`,
    );
    expect(text.replace(/^.*(Read-only|cannot touch).*\n/gm, "")).toBe(
      "./a\n./made/here/b\nc\ninner\na\nmade\na filedeep\n",
    );
    expect(fs.existsSync(at("a/x"))).toBe(true);
    expect(fs.readdirSync(at("c")).sort()).toEqual(["c", "inner"]);
  });

  test("names may hold anything that a path can", async () => {
    const names = [
      "a b",
      "new\nline",
      "back\\slash",
      "#hash",
      "'quote\"",
      "$(touch x)",
      "-x",
      "ü",
      "tab\there",
      "\\040",
      "nb\u00a0sp",
    ];
    for (const name of names) {
      fs.mkdirSync(at(`store/${name}`));
      fs.mkdirSync(at(`user/${name}`));
      fs.writeFileSync(at(`store/${name}/which`), name);
    }
    const binds = names.map((name) => ({ from: at(`store/${name}`), to: at(`user/${name}`), mode: "rw" as const }));
    const sandbox = await open({ binds, readOnly: [at("user/new\nline/which")] });
    for (const name of names) {
      const { text } = await sh(sandbox, 'printf %s/ "$PWD"; cat which; echo 2>/dev/null > which; echo $?', {
        cwd: at(`user/${name}`),
      });
      expect(text).toBe(`${at(`user/${name}`)}/${name}${name === "new\nline" ? 1 : 0}\n`);
    }
  });

  test("paths inside can be protected; one that is missing or a link is refused", async () => {
    fs.mkdirSync(at("store/ws/.git/hooks"), { recursive: true });
    fs.symlinkSync("/etc", at("store/ws/link"));
    const sandbox = await open({ readOnly: [at("user/proj/.git")] });
    const { text } = await sh(sandbox, "touch .git/hooks/x 2>&1; mv .git other 2>&1; touch ok && echo ok");
    expect(text).toMatch(/Read-only file system[\s\S]*busy[\s\S]*ok\n$/);
    await expect(open({ readOnly: [at("user/proj/missing")] })).rejects.toThrow("does not exist");
    await expect(open({ readOnly: [at("user/proj/link")] })).rejects.toThrow("symbolic link");
  });

  test("a link that a scope left in its /tmp leads no mount astray", async () => {
    fs.mkdirSync(at("victim"));
    fs.symlinkSync(at("victim"), at("tmp/proj"));
    const binds = [{ from: at("store/ws"), to: "/tmp/proj/deep", mode: "rw" as const }];
    await expect(open({ binds })).rejects.toThrow("symbolic link");
    fs.unlinkSync(at("tmp/proj"));
    fs.rmSync(at("tmp/.shepherd-cache"), { recursive: true, force: true });
    fs.symlinkSync(at("victim"), at("tmp/.shepherd-cache"));
    await expect(open()).rejects.toThrow("symbolic link");
    expect(fs.readdirSync(at("victim"))).toEqual([]);
  });

  test("what cannot be shown is refused in words", async () => {
    const bind = (from: string, to: string) => open({ binds: [{ from, to, mode: "rw" }] });
    await expect(bind(at("missing"), at("user/proj"))).rejects.toThrow("does not exist");
    await expect(bind(at("store/ws"), at("user/missing"))).rejects.toThrow("does not exist on this host");
    await expect(bind(at("store/ws"), "relative")).rejects.toThrow("absolute");
    await expect(bind(at("store/ws"), "/")).rejects.toThrow("absolute path below /");
    await expect(open({ binds: [] })).rejects.toThrow("at least one bind");
    const two = [at("store/ws"), at("store/other")].map((from) => ({ from, to: at("user/proj"), mode: "rw" as const }));
    await expect(open({ binds: two })).rejects.toThrow("Two binds");
  });

  test("caches in HOME are scratch: mounted where the host has them, named by a variable where not", async () => {
    fs.writeFileSync(at("user/home/.npm/host"), "");
    const sandbox = await open({ env: { ...spec().env, GOMODCACHE: "/mine" } });
    const { text } = await sh(
      sandbox,
      'ls ~/.npm; touch ~/.npm/x; mkdir -p "$XDG_CACHE_HOME"; echo $XDG_CACHE_HOME; echo $GOMODCACHE',
    );
    expect(text).toBe("/tmp/.shepherd-cache/.cache\n/mine\n");
    expect(fs.readdirSync(at("tmp/.shepherd-cache")).sort()).toEqual([".cache", ".npm"]);
    expect(fs.readdirSync(at("user/home/.npm"))).toEqual(["host"]);
  });

  test("it is the same where mount(8) takes one mount at a time only", async () => {
    const { pieces } = planView(spec({ readOnly: [at("user/proj/sub")] }), isRoot());
    byTools();
    const { method } = await detectMethod();
    if (!method || "helper" in method) throw new Error("There are no programs that make namespaces.");
    const holder = await startHolder(pieces, { ...method, single: true });
    const [program, ...words] = holder.enter();
    const text = "cat file; touch /x sub/x 2>/dev/null || echo no; ls -d /proc/[0-9]* | wc -l";
    const done = spawnSync(program!, [...words, method.tools.bash, "-c", `cd ${at("user/proj")}; ${text}`]);
    expect(done.stdout.toString()).toMatch(/^copyno\n[2-5]\n$/);
    await holder.end();
    holder.release();
  });

  test("a host that does not do what it is told is found out", () => {
    const { pieces } = planView(spec(), false);
    const mounts = parseMounts(fs.readFileSync("/proc/self/mountinfo"));
    const before = new Set(mounts.map(nameOf));
    // A mount(8) that passes over what it takes for done leaves the host's.
    expect(difference(pieces, mounts, before)).toContain("nothing was mounted");
    const id = Math.max(...mounts.map((m) => m.id)) + 1;
    const idAt = (where: string): number => id + pieces.findIndex((piece) => piece.at === where);
    const done = pieces.map((piece, i) => ({
      id: id + i,
      parent: piece.at.startsWith("/dev/") ? idAt("/dev") : 1,
      at: piece.at,
      type: "x",
      flags: [piece.mode, "nodev"],
      frozen: false,
    }));
    const root = { id: 1, parent: 0, at: "/", type: "ext4", flags: ["rw", "nodev"], frozen: false };
    expect(difference(pieces, [root, ...done], new Set([nameOf(root)]))).toContain('"/" could not be made read-only');
    const other = { ...root, id: 2, parent: 1, at: "/media", flags: ["rw"] };
    expect(
      difference(pieces, [{ ...root, flags: ["ro", "nodev"] }, ...done, other], new Set([nameOf(root)])),
    ).toContain('"/media"');
    // A mount of the host's is gone meanwhile, and one of ours has its number.
    const reused = new Set([nameOf(root), nameOf({ ...other, id })]);
    expect(difference(pieces, [{ ...root, flags: ["ro", "nodev"] }, ...done], reused)).toBe(null);
  });

  test("a sandbox has its own processes and its own shared memory", async () => {
    const [one, two] = await Promise.all([open(), open({ tmp: at("tmp2") })]);
    await sh(one, "echo mine > /dev/shm/x; (sleep 1000 &) ; true");
    expect((await sh(two, "ls /dev/shm; ls -d /proc/[0-9]* | wc -l")).text).toMatch(/^[1-4]\n$/);
    // A process that was just forked has the name of its parent until it is another program.
    await until(async () => (await one.processes()).map((p) => p.command).join() === "sleep 1000");
    expect(await two.processes()).toEqual([]);
    expect(fs.existsSync("/dev/shm/x")).toBe(false);
  });

  test("a command gets no descriptor but its own three, and no privilege to undo the mounts", async () => {
    const { text } = await sh(
      await open(),
      // A program that has just been started still reads its libraries.
      `ls /proc/self/fd | tr '\\n' ' '; for i in {1..100}; do [ "$(ls /proc/1/fd | wc -l)" = 3 ] && break; sleep 0.02; done; ls /proc/1/fd | tr '\\n' ' '
       mount -o remount,rw / 2>/dev/null && echo wrong; umount /tmp 2>/dev/null && echo wrong
       [ -w /proc/sys/kernel/core_pattern ] && (echo x > /proc/sys/kernel/core_pattern) 2>/dev/null && echo wrong
       grep NoNewPrivs /proc/self/status`,
    );
    expect(text).toBe("0 1 2 3 0 1 2 NoNewPrivs:\t1\n");
  });

  test("processes can be listed while they come and go", async () => {
    const sandbox = await open();
    await sh(sandbox, "for i in 1 2 3; do (while :; do bash -c 'sleep 0.002 & exec true'; done &); done");
    for (let i = 0; i < 30; i++) expect((await sandbox.processes()).length).toBeGreaterThanOrEqual(3);
    await sandbox.killAll();
    expect(await sandbox.processes()).toEqual([]);
  });

  test("orphans do not stay as zombies", async () => {
    const sandbox = await open();
    await sh(sandbox, "for i in 1 2 3 4 5; do (sh -c 'sleep 0.02 & exec true' &); done");
    await until(async () => (await sandbox.processes()).length === 0);
    await until(
      async () => (await sh(sandbox, "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l")).text === "0\n",
    );
  });

  test("a command that stops itself and is woken by another goes on", async () => {
    const { code, text } = await sh(
      await open(),
      "me=$$; (sleep 0.1; kill -CONT $me) & kill -STOP $$; echo awake; exit 4",
    );
    expect({ code, text }).toEqual({ code: 4, text: "awake\n" });
  });

  test("50 sandboxes at once see each its own", async () => {
    const many = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        fs.mkdirSync(at(`store/${i}`));
        fs.writeFileSync(at(`store/${i}/file`), `${i}`);
        return open({ binds: [{ from: at(`store/${i}`), to: at("user/proj"), mode: "rw" }], tmp: at(`tmp-${i}`) });
      }),
    );
    const results = await Promise.all(many.map((sandbox) => sh(sandbox, "cat file; pwd; ls -d /proc/[0-9]* | wc -l")));
    for (const [i, { text }] of results.entries())
      expect(text).toMatch(new RegExp(`^${i}${at("user/proj")}\n[2-6]\n$`));
    await Promise.all(many.map((sandbox) => sandbox.dispose()));
  });

  test("opening and disposing leaves no descriptor behind", async () => {
    const links = () => fs.readdirSync("/proc/self/fd").map((fd) => linkOf(`/proc/self/fd/${fd}`));
    // Pipes are made some at a time, ahead.
    const count = () => links().filter((link) => !link.includes("shepherd-pipes")).length;
    const cycle = async () => {
      const sandbox = await open();
      await sh(sandbox, "(sleep 1000 &) ; true");
      await sandbox.dispose();
    };
    for (let i = 0; i < 3; i++) await cycle();
    const before = count();
    for (let i = 0; i < 5; i++) await cycle();
    await until(() => count() <= before && links().length - count() <= 16);
  });

  test("a sandbox whose first process was killed says so", async () => {
    const sandbox = await open();
    const running = sh(sandbox, "echo begun; sleep 1000");
    const holders = (): number[] => {
      const table = processTable();
      const ours = new Set(table.filter((p) => p.parent === process.pid).map(({ pid }) => pid));
      return table
        .filter((p) => ours.has(p.parent) && commandLine(p.pid).includes("shepherd-holder"))
        .map(({ pid }) => pid);
    };
    // It has its name once it is the last of the programs that make it.
    await until(() => holders().length === 1);
    process.kill(holders()[0]!, "SIGKILL");
    await running.catch(() => {});
    await until(async () =>
      sh(sandbox, "true").then(
        () => false,
        (error: Error) => /has ended/.test(error.message),
      ),
    );
    await sandbox.dispose();
  });
});

const modes = [...makers.map((maker) => `namespaces by ${maker}`), "no namespaces"];
describe.each(modes)("commands, with %s", (mode) => {
  beforeEach(() => {
    if (mode === "no namespaces") process.env.SHEPHERD_NO_NAMESPACES = "1";
    if (!mode.includes("the helper")) byTools();
  });
  afterEach(byAny);
  afterEach(() => {
    delete process.env.SHEPHERD_NO_NAMESPACES;
  });

  test("exit code, signal and output are told", async () => {
    const sandbox = await open();
    expect(await sh(sandbox, "echo out; echo err >&2; echo out; exit 7")).toMatchObject({
      code: 7,
      signal: null,
      text: "out\nerr\nout\n",
      timedOut: false,
    });
    expect(await sh(sandbox, "kill -KILL $$")).toMatchObject({ code: null, signal: "SIGKILL" });
    expect(await sh(sandbox, "echo a > /dev/stderr; echo b > /dev/stdout; echo c | tee /dev/stderr")).toMatchObject({
      text: "a\nb\nc\nc\n",
    });
    const missing = await sandbox.exec({ argv: ["no-such-program"] });
    expect(missing.code).toBe(127);
    expect(missing.output.toString()).toContain("no-such-program");
  });

  test("arguments, environment and input arrive byte for byte", async () => {
    const sandbox = await open();
    const odd = "a b'c\"d\\e\n$x`y`\u00fc\t*";
    const argv = [
      "bash",
      "-c",
      `printf "%s|" "$@"; cat; printf "|%s|%s|%s" "$ODD" "\${HOME-none}" "$PWD"`,
      "x",
      odd,
      "",
      Buffer.from([0xff, 1, 0x7f]),
    ];
    const { output } = await sandbox.exec({
      argv,
      env: { ODD: odd, HOME: null },
      stdin: Buffer.from([0, 1, 0xfe, 10]),
      cwd: at("user/proj/sub"),
    });
    const where = sandbox.abilities.samePath ? at("user/proj/sub") : at("store/ws/sub");
    expect(output.toString("latin1")).toBe(
      Buffer.concat([
        Buffer.from(`${odd}||`),
        Buffer.from([0xff, 1, 0x7f]),
        Buffer.from("|"),
        Buffer.from([0, 1, 0xfe, 10]),
        Buffer.from(`|${odd}|none|${where}`),
      ]).toString("latin1"),
    );
    const { output: all } = await sandbox.exec({ argv: ["env", "-0"], env: { "odd-name.%": "1", LD_PRELOAD: "" } });
    const names = all
      .toString()
      .split("\0")
      .slice(0, -1)
      .map((line) => line.slice(0, line.indexOf("=")));
    expect(names.filter((name) => !(name in sandbox.env) && name !== "SHEPHERD_SANDBOX").sort()).toEqual([
      "LD_PRELOAD",
      "PWD",
      "odd-name.%",
    ]);
  });

  test("a program may have an equals sign in its name", async () => {
    fs.writeFileSync(at("store/ws/a=b"), "#!/bin/sh\necho ran $1\n", { mode: 0o755 });
    const { output } = await (await open()).exec({ argv: ["./a=b", "x y"] });
    expect(output.toString()).toBe("ran x y\n");
  });

  test("a command that cannot start is an error in words", async () => {
    const sandbox = await open();
    await expect(sh(sandbox, "true", { cwd: at("user/proj/none") })).rejects.toThrow("does not exist in the sandbox");
    await expect(sandbox.exec({ argv: [] })).rejects.toThrow("needs a program");
    await expect(sandbox.exec({ argv: ["a\0b"] })).rejects.toThrow(/NUL|zero byte/);
    await expect(sandbox.exec({ argv: ["true"], env: { "a=b": "c" } })).rejects.toThrow("no name of a variable");
  });

  test("output is kept up to a limit and counted beyond", async () => {
    const sandbox = await open();
    const result = await sh(sandbox, "head -c 3000000 /dev/zero; echo end", { maxOutput: 1000 });
    expect(result).toMatchObject({ code: 0, total: 3000004, truncated: true });
    expect(result.output.length).toBe(1000);
    const whole = await sh(sandbox, "head -c 3000000 /dev/zero; echo end");
    expect(whole).toMatchObject({ total: 3000004, truncated: false });
    expect(whole.text.endsWith("end\n")).toBe(true);
  });

  test("output can be watched, and the streams told apart", async () => {
    const seen: string[] = [];
    const onOutput = (chunk: Buffer, stream: string) => seen.push(`${stream}:${chunk}`);
    await sh(await open(), "echo out; echo err >&2", { separate: true, onOutput });
    expect(seen.sort()).toEqual(["stderr:err\n", "stdout:out\n"]);
    const fails = () => {
      throw new Error("from the watcher");
    };
    await expect(sh(opened[0]!, "echo x; sleep 1000", { onOutput: fails })).rejects.toThrow("from the watcher");
  });

  test("a background process does not hold the call up, may write later, and lives on until dispose", async () => {
    const sandbox = await open();
    const late: string[] = [];
    const script =
      "(trap 'echo pipe > died' PIPE; until [ -e go ]; do sleep 0.01; done; echo late; echo more; touch wrote; exec sleep 1000) & echo begun";
    const { code, text } = await sh(sandbox, script, { onLate: (chunk) => late.push(chunk.toString()) });
    expect({ code, text }).toEqual({ code: 0, text: "begun\n" });
    fs.writeFileSync(at("store/ws/go"), "");
    await until(() => fs.existsSync(at("store/ws/wrote")) && late.join("") === "late\nmore\n");
    expect(fs.existsSync(at("store/ws/died"))).toBe(false);
    await until(async () => (await sandbox.processes()).some((p) => p.command === "sleep 1000"));
  });

  test("a background process that writes without end does not hold the call up", async () => {
    const { code, text } = await sh(await open(), "yes & echo begun", { maxOutput: 100 });
    expect(code).toBe(0);
    expect(text).toContain("\n");
  });

  test.skipIf(!linux)("at its time limit a command ends with all of its session", async () => {
    const sandbox = await open();
    const soft = await sh(sandbox, "trap 'echo cleaned; exit 9' TERM; while :; do sleep 0.01; done", {
      timeoutMs: 100,
    });
    expect(soft).toMatchObject({ timedOut: true, code: 9 });
    expect(soft.text).toContain("cleaned\n");
    const hard = await sh(sandbox, "trap '' TERM; (while :; do sleep 0.05; done) & while :; do sleep 0.05; done", {
      timeoutMs: 100,
      graceMs: 100,
    });
    expect(hard).toMatchObject({ timedOut: true, code: null, signal: "SIGKILL" });
    expect(await sandbox.processes()).toEqual([]);
    const stopped = await sh(sandbox, "kill -STOP $$", { timeoutMs: 100, graceMs: 100 });
    expect(stopped).toMatchObject({ timedOut: true, signal: "SIGKILL" });
  });

  test("a signal of the caller ends a command, also before it begins", async () => {
    const sandbox = await open();
    const controller = new AbortController();
    const running = sh(sandbox, "echo begun; exec sleep 1000", {
      signal: controller.signal,
      onOutput: () => controller.abort(),
    });
    expect(await running).toMatchObject({ aborted: true, timedOut: false, signal: "SIGTERM", text: "begun\n" });
    expect(await sh(sandbox, "touch never", { signal: controller.signal })).toMatchObject({
      aborted: true,
      code: null,
      signal: null,
    });
    expect(fs.existsSync(at("store/ws/never"))).toBe(false);
  });

  test.skipIf(!linux)("killAll ends what forked away and what ignores signals, and the sandbox goes on", async () => {
    const sandbox = await open();
    await sh(
      sandbox,
      "setsid bash -c 'trap \"\" TERM HUP; while :; do sleep 0.1; done' & (setsid sleep 1001 &); until pgrep -f 'sleep 1001' >/dev/null 2>&1 || [ $((++n)) -gt 20 ]; do sleep 0.01; done",
    );
    await until(async () => (await sandbox.processes()).some((p) => p.command.startsWith("sleep 1001")));
    expect((await sandbox.processes()).length).toBeGreaterThanOrEqual(2);
    await sandbox.killAll();
    expect(await sandbox.processes()).toEqual([]);
    expect((await sh(sandbox, "echo alive")).text).toBe("alive\n");
    await sandbox.killAll();
  });

  test.skipIf(!linux)("dispose ends running calls and background processes, and later calls are refused", async () => {
    const sandbox = await open();
    await sh(sandbox, "(trap '' TERM HUP; while :; do echo >> witness; sleep 0.01; done) & true");
    const running = sh(sandbox, "trap '' TERM; while :; do sleep 0.01; done");
    await until(() => fs.existsSync(at("store/ws/witness")));
    await until(async () => (await sandbox.processes()).filter((p) => p.command.includes("while :")).length >= 2);
    await sandbox.dispose();
    expect(await running).toMatchObject({ code: null, signal: "SIGKILL" });
    const size = fs.statSync(at("store/ws/witness")).size;
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(fs.statSync(at("store/ws/witness")).size).toBe(size);
    await expect(sh(sandbox, "true")).rejects.toThrow("disposed");
    await sandbox.dispose();
  });

  test("disposing in the midst of many starts neither hangs nor runs anything elsewhere", async () => {
    const sandbox = await open();
    const calls = Array.from({ length: 20 }, () =>
      sh(sandbox, "echo $PWD; sleep 1000").then(
        (r) => r.signal,
        (e: Error) => e.message,
      ),
    );
    await new Promise((resolve) => setImmediate(resolve));
    await sandbox.dispose();
    for (const outcome of await Promise.all(calls))
      expect(outcome === null || /SIG|disposed|could not be started|has ended/.test(outcome!)).toBe(true);
  });

  test("many calls at once each get their own output", async () => {
    const sandbox = await open();
    const results = await Promise.all(Array.from({ length: 40 }, (_, i) => sh(sandbox, `echo ${i}; echo ${i} >&2`)));
    expect(results.map((r) => r.text)).toEqual(results.map((_, i) => `${i}\n${i}\n`));
  });
});

describe("without namespaces", () => {
  beforeEach(() => {
    process.env.SHEPHERD_NO_NAMESPACES = "1";
  });
  afterEach(() => {
    delete process.env.SHEPHERD_NO_NAMESPACES;
  });

  test("it says so, and commands run in the private directory", async () => {
    expect(await detect()).toEqual({
      samePath: false,
      how: "none",
      helper: false,
      why: expect.stringContaining("unset SHEPHERD_NO_NAMESPACES"),
    });
    const sandbox = await open();
    expect(sandbox.abilities.samePath).toBe(false);
    expect((await sh(sandbox, "pwd; cat file; echo $TMPDIR")).text).toBe(`${at("store/ws")}\ncopy${at("tmp")}\n`);
    expect((await sh(sandbox, "pwd", { cwd: at("user/proj/sub") })).text).toBe(`${at("store/ws/sub")}\n`);
    expect(sandbox.translate(at("user/proj/sub"), "out")).toBe(at("store/ws/sub"));
    expect(sandbox.translate(at("store/ws/sub"), "in")).toBe(at("user/proj/sub"));
    expect(sandbox.translate("/etc", "in")).toBe("/etc");
  });

  test.skipIf(!hasProc)("what is left of a scope is ended by its name, and nothing of another", async () => {
    const [mine, other] = [startTracker(true, at("mine")), startTracker(true, at("other"))];
    for (const { env } of [mine, other])
      spawn("sh", ["-c", "setsid sleep 1000 & sleep 1001"], {
        detached: true,
        stdio: "ignore",
        env: { ...process.env, ...env },
      });
    await until(async () => (await mine.list()).length === 3 && (await other.list()).length === 3);
    await endLeftOver(at("mine"));
    expect([(await mine.list()).length, (await other.list()).length]).toEqual([0, 3]);
    await other.kill();
  });

  test("without /proc, process groups say what belongs to the scope", async () => {
    const tracker = startTracker(false);
    const child = spawn("sh", ["-c", "sleep 1000 & sleep 1001"], { detached: true, stdio: "ignore" });
    tracker.began(child.pid!);
    await until(async () => (await tracker.list()).length === 3);
    expect((await tracker.list()).map((p) => p.command).sort()).toEqual([
      "sh -c sleep 1000 & sleep 1001",
      "sleep 1000",
      "sleep 1001",
    ]);
    await tracker.kill();
    expect(await tracker.list()).toEqual([]);
  });
});
