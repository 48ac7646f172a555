import fs from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { at, byAny, byTools, commandLine, linkOf, makers, open, sh, until } from "../../../test/support/exec-rig.ts";
import { processTable } from "./table.ts";

describe.each(makers)("with namespaces, by %s", (maker) => {
  beforeEach(maker === "the helper" ? byAny : byTools);
  afterEach(byAny);

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
