import fs from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { at, byAny, byTools, linux, modes, open, sh, until } from "../../../test/support/exec-rig.ts";

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
    const sandbox = await open();
    await sh(sandbox, "echo out; echo err >&2", { separate: true, onOutput });
    expect(seen.sort()).toEqual(["stderr:err\n", "stdout:out\n"]);
    const fails = () => {
      throw new Error("from the watcher");
    };
    await expect(sh(sandbox, "echo x; sleep 1000", { onOutput: fails })).rejects.toThrow("from the watcher");
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
