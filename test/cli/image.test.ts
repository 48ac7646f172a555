/** `shepherd image`, and runs that have one for their root: `run --root`. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { detect } from "../../src/scope/exec/abilities.ts";
import { makeLayout, makeRoot, tarOf } from "../support/image.ts";
import { bash, newUser, put, type User, until } from "../support/user.ts";

const root = process.getuid?.() === 0;
const { helper } = await detect();
const SETPRIV = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
const users: Array<[string, string[]]> = [
  ...(root ? [["root", []] as [string, string[]]] : []),
  ["an ordinary user", root ? SETPRIV : []],
];

let room: string;
beforeAll(() => {
  room = fs.mkdtempSync(join(process.env.TMPDIR ?? "/tmp", "shepherd-image-"));
  fs.chmodSync(room, 0o755);
  const at = makeRoot(join(room, "root"));
  execFileSync("tar", ["-czf", join(room, "root.tar.gz"), "-C", at, "."]);
});
afterAll(() => fs.rmSync(room, { recursive: true, force: true }));

let user: User;
afterEach(() => user?.end());

async function userAs(as: string[]): Promise<User> {
  user = await newUser({ "a.txt": "one\n", "b.txt": "kept\n" }, as);
  if (as.length > 0) execFileSync("chown", ["-R", "1000:1000", user.directory]);
  return user;
}
const resultOf = async (run: string, n: number): Promise<string> => (await user.does(["show", run, String(n)])).out;
const inRun = async (run: string, command: string): Promise<string> =>
  (await user.does(["exec", run, "--", "sh", "-c", command])).out;
const refused = async (args: string[], code: number, typed = {}): Promise<string> =>
  (await user.does(args, code, typed)).err.replace(/^shepherd: /, "").trim();

describe.skipIf(!helper).each(users)("with an image, as %s", (_, as) => {
  test("what changes in it is part of the state: it forks, reverts, is undone and merged into a parent with the rest", async () => {
    await userAs(as);
    await user.does(["image", "import", "small", join(room, "root.tar.gz")]);
    const turns = [
      { call: [bash("pwd; cat /etc/hello a.txt; echo $HOME"), put("/etc/made", "by write\n")] },
      {
        call: [
          bash(
            "rm /etc/hello; mkdir /opt; echo two > a.txt; echo tool > /opt/tool; ln -s tool /opt/link; touch /tmp/t",
          ),
        ],
      },
      { say: "done" },
    ];
    await user.does(["run", "--scope", "r", "--root", "small", "--model", user.script(turns), "go"]);
    expect(await resultOf("r", 2)).toContain(`image      ${join(room, "root.tar.gz")}\n`);
    const first = (await resultOf("r", 2)).replace(/^.*result\n/s, "");
    const home = root && as.length === 0 ? "/root" : "/home/user";
    for (const line of [user.project, "from the image", "one", home]) expect(first).toContain(`${line}\n`);
    const steps = (await user.does(["log", "r", "--json"])).objects<{ n: number; kind: string }>();
    const tools = steps
      .filter(({ kind }) => kind !== "model" && kind !== "run")
      .map(({ n }) => n)
      .sort((a, b) => a - b);
    const [before, after] = [tools.at(-2)!, tools.at(-1)!];
    expect(await inRun("r", "cat /opt/link /etc/made a.txt; ls /etc/hello 2>&1 | head -1")).toMatch(
      /^tool\nby write\ntwo\nls: /,
    );
    await user.does(["fork", "r", String(before), "--scope", "early"]);
    await user.does(["fork", "r", String(after), "--scope", "late"]);
    expect(await inRun("early", "cat /etc/hello a.txt; ls /opt 2>/dev/null; echo own > /etc/own")).toBe(
      "from the image\none\n",
    );
    expect(await inRun("late", "cat /opt/link; ls /etc/own 2>/dev/null; true")).toBe("tool\n");
    await inRun("early", "chmod 000 /etc");
    expect(await inRun("early", "chmod 755 /etc; cat /etc/own")).toBe("own\n");
    await user.does(["revert", "r", String(before)]);
    expect(await inRun("r", "cat /etc/hello a.txt; ls /opt 2>/dev/null; true")).toBe("from the image\none\n");
    await user.does(["undo"]);
    expect(await inRun("r", "cat /opt/link; ls /etc/hello 2>/dev/null; true")).toBe("tool\n");
    expect(await inRun("late", "echo new > /etc/more; cat a.txt")).toBe("two\n");
    // The machine has nothing of it, and the user's directory neither.
    expect([fs.existsSync("/etc/made"), fs.existsSync("/opt/tool"), user.read("a.txt")]).toEqual([
      false,
      false,
      "one\n",
    ]);
    expect((await user.does(["shell", "late"], 0, { input: "cd /opt\ncat link\n" })).out).toBe("tool\n");
    if (root && as.length === 0) {
      await inRun(
        "late",
        "chown 5:6 /srv; touch /srv/s; chown 7:8 /srv/s; chmod 4755 /srv/s; ln -s s /srv/l; chown -h 9:10 /srv/l",
      );
      const newest = (await user.does(["log", "late", "--json"])).objects<{ n: number }>()[0]!.n;
      await user.does(["fork", "late", String(newest), "--scope", "owned"]);
      expect(await inRun("owned", "stat -c '%n %u:%g %a' /srv /srv/s /srv/l")).toBe(
        "/srv 5:6 755\n/srv/s 7:8 4755\n/srv/l 9:10 777\n",
      );
    }
    await user.does(["merge", "late"]);
    expect(user.files()).toEqual({ "a.txt": "two\n", "b.txt": "kept\n" });
    await user.does(["fsck"]);
  }, 120_000);

  test("a layout, an archive of one and a directory give the same; a removed one stays with its runs", async () => {
    await userAs(as);
    const layer = tarOf([{ path: "from/layer", content: "layered\n" }, { path: "etc/.wh.passwd" }]);
    const base = execFileSync("tar", ["-cf", "-", "-C", join(room, "root"), "."], { maxBuffer: 1 << 30 });
    const config = { Env: ["GREETING=hello there", "PATH=/nowhere:/usr/bin"], WorkingDir: "/from" };
    const layout = makeLayout(join(user.directory, "layout"), { latest: { layers: [base, layer], config } });
    execFileSync("tar", ["-cf", `${layout}.tar`, "-C", layout, "."]);
    if (as.length > 0) execFileSync("chown", ["-R", "1000:1000", user.directory]);
    for (const [name, source] of [
      ["dir", layout],
      ["tarred", `${layout}.tar`],
    ] as const) {
      const [told] = (await user.does(["image", "import", name, source, "--json"])).objects();
      expect(told).toMatchObject({ image: name, source, leftOut: 0, digest: expect.stringMatching(/^sha256:/) });
      const run = await user.does([
        "run",
        "--scope",
        name,
        "--root",
        name,
        "--",
        "sh",
        "-c",
        "pwd; echo $GREETING; cat layer; ls /etc; echo x > made",
      ]);
      expect(run.out).toContain("/from\nhello there\nlayered\nhello\nhosts\nresolv.conf\n");
      expect(run.err).toContain(`It starts in /from, as the image says; with --at /from this directory is seen there.`);
    }
    await user.does(["image", "remove", "dir"]);
    expect((await user.does(["image", "list", "--json"])).objects()).toMatchObject([
      { image: "tarred", workdir: "/from" },
    ]);
    await user.does(["gc"]);
    expect(await inRun("dir", "pwd; cat made; ls")).toBe("/from\nx\nlayer\nmade\n");
    expect(await refused(["run", "--root", "dir", "--", "true"], 2)).toMatch(
      /^There is no image "dir", and no directory: /,
    );
    const words = ["run", "--root", join(room, "root"), "--at", "/from", "--read-only", "b.txt", "--", "sh", "-c"];
    const at = await user.does([...words, "pwd; cat a.txt; echo three > a.txt; echo no 2>&1 > b.txt || cat b.txt"]);
    expect(at.out).toContain("/from\none\n");
    expect(at.out).toContain("kept\n");
    await user.does(["merge", "sh-c"]);
    expect(user.read("a.txt")).toBe("three\n");
  }, 120_000);

  test("what a process has changed in it last is a step when the run ends, though no file of the workspace has changed", async () => {
    await userAs(as);
    const gate = (name: string) => join(user.home, name);
    const left = `until [ -e ${gate("write")} ]; do sleep 0.01; done; echo late > /etc/late; touch ${gate("written")}; exec sleep 100`;
    const turns = [{ call: [bash(`(${left}) > /dev/null 2>&1 &`)] }, { say: "the end", delay: 60_000 }];
    const at = ["--root", join(room, "root"), "--write", user.home, "--model", user.script(turns)];
    const running = user.start(["run", "--scope", "b", ...at, "go"]);
    const newest = async () => {
      const log = await user.shepherd(["log", "b", "--json"]);
      return log.code === 0 ? log.objects<{ n: number; kind: string }>()[0] : undefined;
    };
    await until(
      async () => (await newest())?.n === 3,
      () => running.err + running.out,
    );
    fs.writeFileSync(gate("write"), "");
    await until(() => fs.existsSync(gate("written")));
    running.process.kill("SIGINT");
    await running.ended;
    expect(await newest()).toMatchObject({ n: 4, kind: "work" });
    expect(await inRun("b", "cat /etc/late")).toBe("late\n");
  }, 120_000);

  test("a run that is killed in it goes on, and what was half done is set back", async () => {
    await userAs(as);
    const there = join(user.home, "there");
    const half = `if [ -e ${there} ]; then cat /etc/one; else echo 2 > /etc/one; touch ${there}; sleep 60; fi`;
    const turns = [{ call: [bash("echo 1 > /etc/one")] }, { call: [bash(half)] }, { say: "done" }];
    const at = ["--root", join(room, "root"), "--write", user.home, "--model", user.script(turns)];
    const running = user.start(["run", "--scope", "k", ...at, "go"]);
    await until(
      () => fs.existsSync(there),
      () => running.err + running.out,
    );
    running.process.kill("SIGKILL");
    await running.ended;
    await user.does(["resume", "k"]);
    expect((await resultOf("k", 4)).replace(/^.*result\n/s, "").trim()).toBe("1");
    expect(await inRun("k", "cat /etc/one")).toBe("1\n");
    await user.does(["fsck"]);
  }, 120_000);
});

describe("an image that cannot be had", () => {
  test("is refused before anything is made, in one sentence", async () => {
    user = await newUser();
    fs.writeFileSync(join(user.directory, "out.tar"), tarOf([{ path: "../x", content: "1" }]));
    fs.writeFileSync(
      join(user.directory, "noise"),
      "not an archive at all, but long enough to look like one".repeat(40),
    );
    const out = join(user.directory, "out.tar");
    expect(await refused(["image", "import", "x", out], 3)).toBe('"../x" leads out of the image.');
    expect(await refused(["image", "import", "x", join(user.directory, "noise")], 3)).toMatch(
      /^This is no tar archive that can be read: .*\.$/,
    );
    expect(await refused(["image", "import", "x", "/nonexistent"], 2)).toBe(
      "/nonexistent is not there: name a directory, or an archive.",
    );
    expect(await refused(["image", "import", "x", "/dev/null"], 2)).toBe(
      "/dev/null is neither a directory nor an archive.",
    );
    expect(await refused(["image", "import", "X/y", out], 2)).toMatch(/^"X\/y" is no name for an image: /);
    expect(await refused(["image", "import", "x", join(room, "root.tar.gz"), "--max-size", "1MB"], 3)).toMatch(
      /larger --max-size/,
    );
    expect(await refused(["image", "remove", "x"], 2)).toMatch(/^There is no image "x": /);
    expect(await refused(["image", "import", "x"], 2)).toMatch(/^`shepherd image` takes /);
    expect((await user.does(["image"])).out).toContain("There is no image:");
    expect(fs.readdirSync(join(user.store, "cache/unpack"))).toEqual([]);
    expect(await refused(["run", "--root", "x", "--", "true"], 2)).toMatch(/^There is no image "x", and no directory/);
    expect(await refused(["run", "claude", "--root", ".", "fix it"], 2)).toMatch(/^Claude Code and Codex cannot work/);
    expect(await refused(["run", "--root", "/", "--", "true"], 2)).toMatch(/^--root \/ is the machine itself/);
    expect(await refused(["run", "--at", "/x", "--", "true"], 2)).toMatch(/it goes with --root/);
    const here = ["run", "--root", "."];
    expect(await refused([...here, "--at", "/proc/x", "--", "true"], 2)).toMatch(/^--at takes /);
    const off = { env: { SHEPHERD_NO_NAMESPACES: "1" } };
    expect(await refused([...here, "--", "true"], 4, off)).toMatch(/^--root takes namespaces .*SHEPHERD_NO_NAMESPACES/);
    const tools = { env: { SHEPHERD_NO_HELPER: "1" } };
    expect(await refused([...here, "--", "true"], 4, tools)).toMatch(/^--root takes namespaces /);
    expect((await user.does(["status", "--json"])).objects()).toEqual([]);
  });

  test.skipIf(!helper)("says so where it lacks a shell that is needed; a command alone needs none", async () => {
    user = await newUser();
    const at = makeRoot(join(user.directory, "bare"), ["cat"]);
    const done = await user.does(["run", "--root", at, "--", "cat", "/etc/hello"]);
    expect(done.out).toContain("from the image\n");
    const shell = await user.shepherd(["shell"], { input: "true\n" });
    expect(shell.err).toContain("There is no bash in the image");
    expect(shell.code).toBe(4);
    await user.does(["fsck"]);
  });
});
