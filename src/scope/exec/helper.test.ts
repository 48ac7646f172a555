import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { helperName, native } from "../../../scripts/native.mjs";
import { params } from "../../../test/support/runs.ts";
import { detect } from "./abilities.ts";
import { findHelper, helperOf } from "./helper.ts";
import { openSandbox } from "./sandbox.ts";
import { processTable, readProcess } from "./table.ts";
import { message, reader } from "./wire.ts";

const { helper: works, how } = await detect();
const checked = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"];

/** A helper in which each wrong step in memory ends it, and room for what it is told to make. */
let base: string;
let program: string;
beforeAll(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), "shepherd-helper-"));
  program = path.join(base, helperName);
  if (works && !native(program, checked)) program = findHelper()!;
  fs.chmodSync(base, 0o777);
  for (const name of ["a", "b"]) {
    fs.mkdirSync(path.join(base, name));
    fs.chmodSync(path.join(base, name), 0o777);
  }
});
afterAll(() => fs.rmSync(base, { recursive: true, force: true }));

const root = process.getuid?.() === 0;

/** What becomes of a helper that hears these bytes, and what it answers. An ordinary user runs it: it makes what it is told to. */
async function hears(
  bytes: Buffer,
): Promise<{ code: number | null; signal: string | null; answers: string[][]; said: string }> {
  const serve = ["serve", " ".repeat(15), String(process.pid), "userns"];
  const child = spawn(program, serve, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ASAN_OPTIONS: "detect_leaks=0" },
    cwd: "/",
    ...(root && { uid: 1000, gid: 1000 }),
  });
  const answers: string[][] = [];
  let said = "";
  child.stdout.on(
    "data",
    reader((words) => answers.push(words)),
  );
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  child.stdin.on("error", () => {});
  child.stdin.end(bytes);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once("close", (...how) => resolve(how)),
  );
  return { code, signal, answers, said };
}

const words = (pid: number) => fs.readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");

describe.skipIf(!works)("the helper", () => {
  const room = (): fc.Arbitrary<string> =>
    fc.constantFrom(...["a", "b", "a/x", "a/../b", "none", ""].map((name) => path.join(base, name)), "a", "/proc", "");
  const word = fc.oneof(
    fc.constantFrom(
      "take",
      "lock",
      "point",
      "put",
      "bind",
      "tmpfs",
      "proc",
      "seal",
      "pts",
      "link",
      "rw",
      "ro",
      "ro+dev",
      "dir",
      "file",
    ),
    fc.constantFrom("0", "1", "-1", "99999999999999999999", "64k", "755", "x", "-", "..", "a/b/c"),
    fc.nat(3).chain(() => room()),
    fc.string({ maxLength: 300 }).map((text) => text.replaceAll("\0", "")),
  );
  const inside = fc
    .nat(3)
    .chain(() => room())
    .filter((each) => each !== "/proc");
  const request = fc.oneof(
    fc.tuple(
      fc.nat(1000),
      fc.constantFrom("open", "end", "?"),
      fc.constantFrom("0", "7601", "65536", "x"),
      fc.array(word, { maxLength: 12 }),
    ),
    fc.tuple(
      fc.nat(1000),
      fc.constantFrom("overlay", "unmount", "changed"),
      fc.oneof(fc.constantFrom("0", "x", "18446744073709551615"), inside),
      fc.array(inside, { maxLength: 70 }),
    ),
    fc.tuple(
      fc.nat(1000),
      fc.constantFrom("run", "fifos"),
      fc.oneof(fc.nat(99999).map(String), fc.constantFrom("-1", "", "/proc")),
      fc.array(
        fc.oneof(
          fc.constantFrom("0", "1", "-", "99999999999"),
          fc.constant("a/x").map((name) => path.join(base, name)),
        ),
        { maxLength: 9 },
      ),
    ),
    fc.tuple(
      fc.nat(1000),
      fc.constantFrom("remove", "spread"),
      inside.filter((each) => each !== base),
      fc.array(fc.constant(""), { maxLength: 1 }),
    ),
    fc.tuple(fc.constantFrom("x", "", "-1"), fc.constant("open"), fc.constant("0"), fc.array(word, { maxLength: 3 })),
  );

  test("whatever it hears it neither crashes nor hangs, and answers each request that is one", async () => {
    const streams = fc.array(
      fc.oneof(
        { weight: 6, arbitrary: request.map(([id, what, port, words]) => message([String(id), what, port, ...words])) },
        { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)) },
        {
          weight: 1,
          arbitrary: fc.constantFrom(
            Buffer.from([0, 0, 0, 0]),
            Buffer.from([255, 255, 255, 255]),
            Buffer.from([2, 0, 0, 0, 65, 66]),
          ),
        },
      ),
      { maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(streams, async (parts) => {
        const { code, signal, said } = await hears(Buffer.concat(parts));
        expect([signal, said]).toEqual([null, ""]);
        expect([0, 1]).toContain(code);
      }),
      params(2000, 100),
    );
  });

  test("an instruction that cannot be followed is told in a sentence, and nothing is left", async () => {
    const bad = [
      [["put", "0", "/tmp", "rw"], "Nothing was taken by the number 0"],
      [["take", "/none"], "/none cannot be opened; may you read it?: No such file or directory"],
      [["nonsense"], "nonsense is no instruction"],
      [["take"], "take lacks words"],
      [["bind", `${base}/none`, "/tmp", "ro"], "is a symbolic link or does not exist"],
      [["tmpfs", base, "64k", "755", "-", "point", base, "../up", "dir"], "is no path below"],
    ] as const;
    const asked = bad.map(([words], at) => message([String(at + 1), "open", "0", ...words]));
    const { answers, code } = await hears(Buffer.concat(asked));
    expect(code).toBe(0);
    for (const [at, [, sentence]] of bad.entries()) {
      const [, what, text] = answers.find(([id]) => id === String(at + 1))!;
      expect([what, text]).toEqual(["error", expect.stringContaining(sentence)]);
    }
  });

  test("a message is as long as it may be, and no longer", async () => {
    const whole = message(["1", "open", "0", "x".repeat((1 << 20) - 10)]);
    expect(whole.length).toBe(4 + (1 << 20));
    const { answers, code } = await hears(Buffer.concat([whole, whole]));
    expect([code, answers.map(([id, what]) => [id, what])]).toEqual([
      0,
      [
        ["0", "ready"],
        ["1", "error"],
        ["1", "error"],
      ],
    ]);
    const longer = message(["1", "open", "0", "x".repeat((1 << 20) - 9)]);
    const { code: last, answers: none } = await hears(longer);
    expect([last, none.map(([id, what]) => [id, what])]).toEqual([1, [["0", "ready"]]]);
  });

  test.for(["the helper", "programs of the host"])(
    "an end waits until nothing is left, also where %s, which made it, was killed",
    async (maker, { onTestFinished }) => {
      if (maker !== "the helper") process.env.SHEPHERD_NO_HELPER = "1";
      onTestFinished(() => void delete process.env.SHEPHERD_NO_HELPER);
      const at = path.join(base, "a");
      const binds = [{ from: at, to: at, mode: "rw" as const }];
      const open = () =>
        openSandbox({ binds, tmp: path.join(base, "b"), env: { PATH: process.env.PATH! }, network: "host" });
      const sandbox = await open();
      await sandbox.exec({ argv: ["bash", "-c", "for i in {1..300}; do sleep 1000 & done"] });
      const table = processTable();
      const [outer] = table.filter(
        ({ pid, parent }) =>
          parent === process.pid && (maker === "the helper" ? / serve / : /unshare/).test(words(pid)),
      );
      const [first] = table.filter(({ parent }) => parent === outer!.pid);
      const inside = table.filter(({ parent }) => parent === first!.pid);
      expect(inside.length).toBe(300);
      process.kill(outer!.pid, "SIGKILL");
      while (readProcess(outer!.pid)) await new Promise(setImmediate);
      await sandbox.dispose();
      expect([first!, ...inside].filter(({ pid }) => (readProcess(pid)?.state ?? "Z") !== "Z")).toEqual([]);
      // The next one is made by another.
      const next = await open();
      expect((await next.exec({ argv: ["echo", "on"] })).output.toString()).toBe("on\n");
      await next.dispose();
    },
  );

  test.skipIf(how !== "root")("it runs programs with descriptors of ours, and tells how they ended", async () => {
    const helper = await helperOf(program, "root");
    const held = await helper.open("host", false, ["lock", "proc", "/proc"]);
    const file = path.join(base, "said");
    const fd = fs.openSync(file, "w+");
    const run = (...words: string[]) => held.run!([null, fd, fd, null, null], words);
    const said = await run(
      "/bin/sh",
      "-c",
      "echo $PPID; readlink /proc/self/fd/0; env; trap : PIPE; kill -PIPE $$; exit 7",
    );
    expect(await said.ended).toEqual([7, null]);
    // A child of nobody in there, as that of an enter is, with nothing of ours around it.
    expect(fs.readFileSync(file, "utf8").replace(/^PWD=.*\n|^SHLVL=.*\n|^_=.*\n/gm, "")).toBe("0\n/dev/null\n");
    const killed = await run("/bin/sleep", "1000");
    expect(fs.readlinkSync(`/proc/${killed.pid}/ns/pid`)).toBe(fs.readlinkSync(`/proc/${held.pid}/ns/pid`));
    process.kill(killed.pid, "SIGTERM");
    expect(await killed.ended).toEqual([null, "SIGTERM"]);
    expect(await (await run("/none")).ended).toEqual([126, null]);
    await expect(held.run!([fd + 1000, fd, fd, null, null], [])).rejects.toThrow(
      /^The descriptor \d+ cannot be taken over/,
    );
    const last = await run("/bin/sleep", "1000");
    // Else it may be told that there is nothing to enter any more.
    while (fs.readFileSync(`/proc/${last.pid}/comm`, "latin1") !== "sleep\n") await sleep(1);
    await held.end();
    expect(await last.ended).toEqual([null, "SIGKILL"]);
    await expect(run("/bin/true")).rejects.toThrow("The sandbox has ended");
    const other = await helper.open("host", false, ["lock", "proc", "/proc"]);
    const orphan = await other.run!([null, fd, fd, null, null], ["/bin/sleep", "1000"]);
    process.kill(helper.pid, "SIGKILL");
    expect(await orphan.ended).toEqual([null, "SIGKILL"]);
    await other.end();
    expect(readProcess(orphan.pid)?.state ?? "Z").toBe("Z");
    fs.closeSync(fd);
  });

  test("a program of it that cannot be started says so", () => {
    const enter = (...words: string[]) => spawnSync(program, ["enter", ...words], { encoding: "utf8" });
    expect(enter("/none", "--", "/bin/true")).toMatchObject({ status: 126, stderr: "The sandbox has ended.\n" });
    expect(enter()).toMatchObject({ status: 126, stderr: "enter takes namespaces, and a program.\n" });
    expect(spawnSync(program, [], { encoding: "utf8" }).status).toBe(2);
  });

  test("many sandboxes at once are each their own, with a network of their own", async () => {
    const helper = await helperOf(findHelper()!, how as "root" | "userns");
    const held = await Promise.all(
      Array.from({ length: 20 }, () => helper.open({ port: 7601 }, false, ["lock", "proc", "/proc"])),
    );
    expect(new Set(held.map(({ pid }) => fs.readlinkSync(`/proc/${pid}/ns/net`))).size).toBe(20);
    expect(held.every(({ listener, alive }) => listener!.listening && alive())).toBe(true);
    await Promise.all(held.map(({ end }) => end()));
    expect(held.some(({ pid, alive }) => alive() || fs.existsSync(`/proc/${pid}`))).toBe(false);
  });
});

test("messages are the same in whatever pieces they come", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.array(
          fc.string({ unit: "binary-ascii", minLength: 1 }).filter((s) => !s.includes("\0")),
          { minLength: 1 },
        ),
      ),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (all, sizes) => {
        const bytes = Buffer.concat(all.map(message));
        const got: string[][] = [];
        const take = reader((words) => got.push(words));
        for (let at = 0; at < bytes.length; ) {
          const size = sizes.next().value as number;
          take(bytes.subarray(at, at + size));
          at += size;
        }
        expect(got).toEqual(all);
      },
    ),
    params(2000, 100),
  );
});
