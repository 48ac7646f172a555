import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { at, base, byAny, byTools, makers, mountsHere, open, setUp, sh, spec } from "../../../test/support/exec-rig.ts";
import { detectMethod } from "./abilities.ts";
import { isRoot, startHolder } from "./holder.ts";
import { nameOf, parseMounts, visible } from "./mounts.ts";
import { difference, planView } from "./view.ts";

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
});
