import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { params } from "../../../test/support/runs.ts";
import { abilities, by, makers, script, users } from "../../../test/support/sandboxed.ts";
import { findProgram } from "./tools.ts";

const status = (pid: string): string => {
  try {
    return fs.readFileSync(`/proc/${pid}/status`, "latin1");
  } catch {
    return "";
  }
};

/** The processes that see a mount of this room: those of its sandbox. */
const inside = (room: string) =>
  fs.readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && fs.readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(` ${room}/proj `);
    } catch {
      return false;
    }
  });
async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe.skipIf(!abilities.samePath)("when the process that opened a sandbox is killed", () => {
  const VICTIM = `
const sandbox = await open();
const run = (text) => sandbox.exec({ argv: ["bash", "-c", text] });
await run("(trap '' TERM HUP INT; while :; do echo x >> witness; sleep 0.005; done) & setsid bash -c 'while :; do echo y >> witness; sleep 0.005; done' & true");
process.stdout.write("ready\\n");
await run("trap '' TERM HUP INT; while :; do echo z >> witness; sleep 0.005; done");
`;

  test("everything in it ends, also what forked away and ignores signals", async () => {
    const { file, room, env } = script("victim", VICTIM);
    const child = spawn(process.execPath, [file], { env, stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    const witness = path.join(room, "store/ws/witness");
    await until(() =>
      ["x", "y", "z"].every((letter) => fs.existsSync(witness) && fs.readFileSync(witness, "utf8").includes(letter)),
    );
    expect(inside(room).length).toBeGreaterThan(3);
    child.kill("SIGKILL");
    await once(child, "exit");
    await until(() => inside(room).length === 0);
    const size = fs.statSync(witness).size;
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(fs.statSync(witness).size).toBe(size);
    expect(fs.readFileSync("/proc/self/mounts", "utf8")).not.toContain(room);
  });

  test("nothing stays, at whatever moment it was killed", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 250 }), async (ms) => {
        const { file, room, env } = script("early", VICTIM);
        const child = spawn(process.execPath, [file], { env, stdio: "ignore" });
        await new Promise((resolve) => setTimeout(resolve, ms));
        child.kill("SIGKILL");
        await once(child, "exit");
        await until(() => inside(room).length === 0);
      }),
      params(100, 8),
    );
  });

  test.for(makers)("what waits for a stopped command does not stay behind, made by %s", async (maker) => {
    const { file, room, env } = script(
      "stopped",
      'await (await open()).exec({ argv: ["bash", "-c", "kill -STOP $$"] });',
    );
    const child = spawn(process.execPath, [file], { env: { ...env, ...by(maker) }, stdio: "ignore" });
    const stopped = () => inside(room).filter((pid) => /^State:\s+T/m.test(status(pid)));
    // The command, and what waits for it outside, where that is not root's helper.
    const count = maker === "the helper" && abilities.how === "root" ? 1 : 2;
    await until(() => stopped().length === count);
    child.kill("SIGKILL");
    await until(() => inside(room).length === 0);
  });

  test("an end of its own accord ends the sandbox too", async () => {
    const { file, room, env } = script("leaves", `${VICTIM.replace(/process.stdout[\s\S]*/, "process.exit(0);")}`);
    expect(spawnSync(process.execPath, [file], { env }).status).toBe(0);
    await until(() => inside(room).length === 0);
  });
});

describe.skipIf(!abilities.samePath)("what this process inherited", () => {
  test("reaches no command: an open directory would lead out of the sandbox", () => {
    const { file, env } = script(
      "inherits",
      `const sandbox = await open();
const { output } = await sandbox.exec({ argv: ["ls", "/proc/self/fd"] });
const { result } = await runShell(sandbox, "ls /proc/self/fd; ls /proc/1/fd", null);
await sandbox.dispose();
console.log(JSON.stringify([output.toString(), result.output.toString()]));`,
    );
    const fd = fs.openSync("/", "r");
    try {
      const { stdout } = spawnSync(process.execPath, [file], {
        env,
        stdio: ["ignore", "pipe", "inherit", fd, fd, fd, fd, fd, fd, fd, fd, fd, fd],
      });
      // One more each is ls reading; a shell keeps one for its report.
      expect(JSON.parse(stdout.toString())).toEqual(["0\n1\n2\n3\n", "0\n1\n100\n2\n3\n0\n1\n2\n"]);
    } finally {
      fs.closeSync(fd);
    }
  });
});

describe.skipIf(!abilities.helper)("what Node leaves open for its children", () => {
  test("is closed before the first program in the sandbox, which others there may look at", () => {
    const { file, env } = script(
      "leaves-open",
      `const sandbox = await open();
const { output } = await sandbox.run({ args: ["-c", "ls /proc/$$/fd"], script: "", maxReport: 0 });
await sandbox.dispose();
console.log(JSON.stringify(output.toString()));`,
    );
    const fd = fs.openSync("/", "r");
    const gap = Array.from({ length: 37 }, () => "ignore" as const);
    const { stdout } = spawnSync(process.execPath, [file], { env, stdio: ["ignore", "pipe", "inherit", ...gap, fd] });
    fs.closeSync(fd);
    // The last one is ls reading.
    expect(JSON.parse(stdout.toString())).toBe("0\n1\n2\n3\n4\n5\n");
  });
});

describe.skipIf(!abilities.samePath)("the standard input of this process, given to a command", () => {
  const SCRIPT = `
const sandbox = await open();
const { output } = await sandbox.exec({ argv: ["bash", "-c", process.env.TRY], ownStdin: true });
await sandbox.dispose();
console.log(JSON.stringify(output.toString("latin1")));`;
  const given = (name: string, stdin: number | "pipe", text: string, maker: string, input?: Buffer) => {
    const { file, env } = script(name, SCRIPT);
    const more = { ...env, ...by(maker), TRY: text };
    const done = spawnSync(process.execPath, [file], { env: more, stdio: [stdin, "pipe", "inherit"], input });
    return JSON.parse(done.stdout.toString()) as string;
  };

  test.for(makers)("is a file that it can read and not write, made by %s", (maker) => {
    const { room } = script("input", SCRIPT);
    const file = path.join(room, "mine");
    for (const size of [0, 20, 3 << 20]) {
      fs.writeFileSync(file, "x".repeat(size));
      const fd = fs.openSync(file, "r");
      // Somebody has read a part already, and goes on reading afterwards.
      fs.readSync(fd, Buffer.alloc(7));
      expect(given("input", fd, "wc -c; echo escaped > /proc/self/fd/0; exit 0", maker)).toMatch(
        new RegExp(`^${Math.max(0, size - 7)}\n`),
      );
      expect(given("input", fd, "head -c 3 /dev/stdin", maker)).toBe("x".repeat(Math.min(3, Math.max(0, size - 7))));
      expect(fs.readFileSync(file, "latin1")).toBe("x".repeat(size));
      expect(fs.readSync(fd, Buffer.alloc(7))).toBe(Math.min(7, Math.max(0, size - 7)));
      fs.closeSync(fd);
    }
  });

  test.for(makers)("is no directory: all below it could be written, made by %s", (maker) => {
    const { room } = script("input", SCRIPT);
    const fd = fs.openSync(room, "r");
    expect(
      given("input", fd, "ls /proc/self/fd/0/ 2>/dev/null; echo x > /proc/self/fd/0/witness", maker),
    ).not.toContain("tmp");
    fs.closeSync(fd);
    expect(fs.existsSync(path.join(room, "witness"))).toBe(false);
  });

  test.for(makers)("is what comes through a pipe, made by %s", (maker) => {
    expect(given("input", "pipe", "cat", maker, Buffer.from("typed"))).toBe("typed");
  });
});

describe.skipIf(!abilities.samePath)("a command on the terminal of this process", () => {
  const SCRIPT = `const sandbox = await open();
const done = await sandbox.interactive({ argv: ["bash", "--norc", "--noediting", "-i"], env: { PS1: "" } });
console.log("ended " + JSON.stringify(done));
process.stdin.once("data", async (line) => { console.log("heard " + line); await sandbox.dispose(); process.exit(); });`;

  test("gets input and output, and its end is told", () => {
    const { file, env } = script(
      "plain",
      SCRIPT.replace('"-i"', '"-c", "cat file; read x; echo $x; exit 5"').replace(/process.stdin.*/s, "process.exit()"),
    );
    const done = spawnSync(process.execPath, [file], { env, input: "typed\n", encoding: "utf8" });
    expect(done.stdout).toBe('copytyped\nended {"code":5,"signal":null}\n');
  });

  const GROUP = `let heard = 0;
process.on("SIGUSR1", () => heard++);
const sandbox = await open();
const done = await sandbox.interactive({ argv: ["bash", "-c", "trap 'echo its own' USR1; kill -USR1 0; exit 5"] });
await new Promise((resolve) => setTimeout(resolve, 20));
await sandbox.dispose();
console.log(JSON.stringify({ done, heard }));`;

  test.for(makers.flatMap((maker) => ["a terminal", "none"].map((terminal) => [terminal, maker] as const)))(
    "a signal to its process group is its own, with %s, made by %s",
    ([terminal, maker], context) => {
      const typed = terminal === "a terminal";
      if (typed && !findProgram("script")) return context.skip();
      const { file, env } = script("group", GROUP);
      const words = typed
        ? ["script", "-qec", `${process.execPath} ${file}`, "/dev/null"]
        : ["setsid", "-w", process.execPath, file];
      const done = spawnSync(words[0]!, words.slice(1), {
        env: { ...env, ...by(maker), SHELL: "/bin/sh" },
        encoding: "utf8",
        input: "",
      });
      expect(done.stdout).toContain('"heard":0}');
      // By programs of the host what waits for the command takes the signal, too, and ends.
      if (maker === "the helper" || !typed)
        expect(done.stdout.replaceAll("\r", "")).toBe('its own\n{"done":{"code":5,"signal":null},"heard":0}\n');
    },
  );

  test.skipIf(!findProgram("script"))("has job control there, and the terminal comes back", async () => {
    const { file, env } = script("terminal", SCRIPT);
    const child = spawn("script", ["-qec", `${process.execPath} ${file}`, "/dev/null"], {
      env: { ...env, SHELL: "/bin/sh" },
    });
    let seen = "";
    child.stdout.on("data", (chunk: Buffer) => {
      seen += chunk.toString().replaceAll("\r", "");
    });
    const type = async (line: string, answer: string) => {
      child.stdin.write(`${line}\n`);
      await until(() => seen.includes(answer));
    };
    await type("echo $((6*7)); cat file", "42\ncopy");
    await type("sleep 1000 & jobs; fg >/dev/null", "Running");
    // Typed until it is answered: the key may come before the job has the terminal.
    while (!seen.includes("inter1rupted")) {
      child.stdin.write("\x03echo inter$((1))rupted\n");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await type("exit 5", 'ended {"code":5,"signal":null}');
    await type("to node", "heard to node");
    child.stdin.end();
    if (child.exitCode === null) await once(child, "exit");
  });
});

describe.each(users)("as %s", (_, as, uid) => {
  const SCRIPT = `
const sandbox = await open();
const sh = async (text, more = {}) => (await sandbox.exec({ argv: ["bash", "-c", text], ...more })).output.toString().replaceAll(base, "ROOM");
const told = { abilities: sandbox.abilities };
if (sandbox.abilities.samePath) {
  told.project = await sh("pwd; cat file; id -u; stat -c %u file; touch new && ls");
  told.readOnly = await sh("touch /x ~/x /usr/x ROOM/../x 2>/dev/null || echo no; touch /tmp/x /var/tmp/y /dev/shm/z && ls /tmp");
  told.hidden = await sh("ls -A /var/lib; [ -e " + at("store") + " ] && echo seen");
  told.alone = await sh("ls -d /proc/[0-9]* | wc -l; umount /tmp 2>/dev/null || mount -o remount,rw / 2>/dev/null || echo no");
  const first = await runShell(sandbox, "mkdir d; cd d; export X=$'\\\\xff\\\\n'; f() { echo f; }; exit 3", null);
  const second = await runShell(sandbox, 'pwd; printf %s "$X" | od -An -tx1; f', decodeShell(encodeShell(first.state)));
  told.shell = [first.result.code, second.result.output.toString().replaceAll(base, "ROOM")];
  const limited = await sandbox.exec({ argv: ["bash", "-c", "trap '' TERM; while :; do sleep 0.05; done"], timeoutMs: 2000, graceMs: 50 });
  told.limited = [limited.timedOut, limited.signal];
  await sh("setsid sleep 1000 & (trap '' TERM; while :; do echo >> witness; sleep 0.01; done) & sleep 0.05");
  told.left = (await sandbox.processes()).length >= 2;
  await sandbox.killAll();
  told.killed = (await sandbox.processes()).length;
  told.files = fs.readdirSync(at("tmp")).sort();
}
await sandbox.dispose();
console.log(JSON.stringify(told));
`;

  test.for(makers)("all of it works in a user namespace, made by %s", (maker, context) => {
    const { file, env } = script("user", SCRIPT);
    Object.assign(env, by(maker));
    const [program, ...words] = [...as, process.execPath, file];
    const done = spawnSync(program!, words, { env, encoding: "utf8" });
    expect(done.stderr).toBe("");
    const told = JSON.parse(done.stdout);
    if (!told.abilities.samePath) {
      console.log(`The test in a user namespace is skipped: ${told.abilities.why}`);
      context.skip();
    }
    expect(told).toEqual({
      abilities: {
        samePath: true,
        how: "userns",
        helper: maker === "the helper",
        ...(maker === "the helper" && { landlock: expect.any(Number) }),
        ...(maker !== "the helper" && { noHelper: expect.any(String) }),
      },
      project: `ROOM/proj\ncopy${uid}\n${uid}\nfile\nnew\n`,
      readOnly: expect.stringMatching(/^no\n/),
      hidden: "",
      alone: expect.stringMatching(/^[2-5]\nno\n$/),
      shell: [3, "ROOM/proj/d\n ff 0a\nf\n"],
      limited: [true, "SIGKILL"],
      left: true,
      killed: 0,
      files: expect.arrayContaining(["x", "y"]),
    });
  });
});
