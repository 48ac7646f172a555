import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { agentRig, items, type Rig } from "../../../test/support/agent-rig.ts";
import type { LiveScope } from "../../scope/scope.ts";
import { getBytes, textOf } from "../../scope/thread.ts";
import type { Step } from "../../trace/seal.ts";
import { runAgent } from "../loop.ts";
import { MAX_TEXT } from "./clip.ts";

let rig: Rig;
let scope: LiveScope;
const scripted: object[] = [];
beforeAll(async () => {
  rig = await agentRig({ "auth.js": "const a = 1;\nconst b = 1;\n" });
  scope = await rig.start();
});
afterAll(() => rig.end());

const host = (path: string) => `${scope.files!.host}/${path}`;
const put = (path: string, content: string | Uint8Array) => writeFileSync(host(path), content);

/** Performs calls in one turn; gives their results: status and text. */
async function use(...calls: Array<[tool: string, input: unknown]>): Promise<Array<[status: string, text: string]>> {
  scripted.push({ call: calls.map(([tool, input]) => ({ tool, input })) });
  const before = (await items(scope)).length;
  const end = await runAgent(scope, {
    model: rig.script(...scripted),
    signal: new AbortController().signal,
    maxTurns: 1,
  });
  expect(end.error).toBeUndefined();
  return (await items(scope))
    .slice(before + 1)
    .map((item) => [item.role === "result" ? item.status : "?", textOf(item, "")]);
}
const one = async (tool: string, input: unknown) => (await use([tool, input]))[0]!;
const lastStep = (): Step => scope.writer.fold.sealed.at(-1)!;
const resultOf = async (step: Step): Promise<Buffer> => getBytes(rig.store, step.outcome!.result!);

test("a command's output is its result, and its exit code decides about the status", async () => {
  expect(await one("bash", { command: "ls; echo oops >&2" })).toEqual(["done", "auth.js\noops\n"]);
  expect(lastStep().outcome).toMatchObject({ status: "done", code: 0 });
  expect(await one("bash", { command: "true" })).toEqual(["done", "(no output)"]);
  expect(await one("bash", { command: "printf 'no newline'; exit 3" })).toEqual([
    "failed",
    "no newline\n[exit code 3]",
  ]);
  expect(lastStep().outcome).toMatchObject({ status: "failed", code: 3 });
  const [status, text] = await one("bash", { command: "kill -9 $$" });
  expect(status).toBe("failed");
  expect(text).toContain("[ended by SIGKILL]");
});

test("a command that takes too long is ended, and the model is told how to give it more time", async () => {
  const [status, text] = await one("bash", { command: "echo begun; sleep 60", timeout_ms: 200 });
  expect(status).toBe("failed");
  expect(text).toMatch(/^begun\n\[ended after 200 ms: give a larger timeout_ms, or run it in the background\]/);
});

test("directory, exported variables and functions are carried in the thread; a call that changes none leaves the shell as it was", async () => {
  const shell = () => scope.head().state!.threads.main!.shell;
  await use(
    ["bash", { command: "mkdir -p sub; cd sub; export X=1; f() { echo hi $X; }" }],
    ["bash", { command: "pwd; f" }],
  );
  const [, outcome] = scope.writer.fold.sealed.slice(-2).map((step) => step.outcome);
  expect(textOf((await items(scope)).at(-1)!)).toBe(`${rig.workspace}/sub\nhi 1\n`);
  expect(outcome!.threads!.main).not.toHaveProperty("shell");
  const carried = shell();
  expect(carried).not.toBeNull();
  await use(
    ["bash", { command: "cd .." }],
    ["bash", { command: "cd sub" }],
    ["bash", { command: "cd - >/dev/null; pwd" }],
  );
  expect(textOf((await items(scope)).at(-1)!)).toBe(`${rig.workspace}\n`);
  await use(["bash", { command: `unset X; unset -f f; cd /; cd ${rig.workspace}` }]);
  expect(shell()).not.toBe(carried);
});

test("files are written, read with line numbers and edited where the shell is", async () => {
  expect(
    await use(
      ["bash", { command: "mkdir -p deep && cd deep" }],
      ["write", { path: "a/b/n.txt", content: "hello\nworld" }],
      ["read", { path: "a/b/n.txt" }],
      ["edit", { path: "a/b/n.txt", old: "hello\n", new: "" }],
      ["read", { path: `${rig.workspace}/deep/a/b/n.txt` }],
      ["bash", { command: "cd .." }],
    ),
  ).toEqual([
    ["done", "(no output)"],
    ["done", "Wrote a/b/n.txt (11 bytes)."],
    ["done", "     1\thello\n     2\tworld\n"],
    ["done", "Replaced one occurrence in a/b/n.txt."],
    ["done", "     1\tworld\n"],
    ["done", "(no output)"],
  ]);
  expect(readFileSync(host("deep/a/b/n.txt"), "utf8")).toBe("world");
});

test("read gives parts of a long file and says how to go on; its step keeps the whole file", async () => {
  put("long.txt", Array.from({ length: 9000 }, (_, at) => `line ${at + 1}\n`).join(""));
  const [status, text] = await one("read", { path: "long.txt" });
  expect(status).toBe("done");
  const shown = text.split("\n").length - 2;
  expect(shown).toBeLessThanOrEqual(2000);
  expect(text).toContain(`[${9000 - shown} more lines: go on with offset ${shown + 1}.]`);
  expect(text.length).toBeLessThanOrEqual(MAX_TEXT);
  expect(await resultOf(lastStep())).toEqual(readFileSync(host("long.txt")));
  expect(await one("read", { path: "long.txt", offset: 8999 })).toEqual([
    "done",
    "  8999\tline 8999\n  9000\tline 9000\n",
  ]);
  expect(await one("read", { path: "long.txt", offset: 2, limit: 1 })).toEqual([
    "done",
    "     2\tline 2\n[8998 more lines: go on with offset 3.]\n",
  ]);
  expect(await one("read", { path: "long.txt", offset: 9001 })).toEqual([
    "failed",
    "long.txt has 9000 lines, so nothing is at line 9001.",
  ]);
  put("wide.txt", "x".repeat(100_000));
  expect((await one("read", { path: "wide.txt" }))[1]).toContain("[98000 more characters in this line]");
  put("empty.txt", "");
  expect(await one("read", { path: "empty.txt" })).toEqual(["done", "(the file is empty)"]);
});

test("what cannot be read or written is a result that says why", async () => {
  put("binary", Buffer.from([1, 0, 2]));
  mkdirSync(host("folder"), { recursive: true });
  const answers = await use(
    ["read", { path: "nothing" }],
    ["read", { path: "folder" }],
    ["read", { path: "binary" }],
    ["read", { path: "/dev/zero" }],
    ["write", { path: "folder", content: "x" }],
    ["write", { path: "auth.js/x", content: "x" }],
    ["write", { path: "/etc/shepherd-test", content: "x" }],
  );
  expect(answers.every(([status]) => status === "failed")).toBe(true);
  expect(answers.map(([, text]) => text)).toEqual([
    "nothing cannot be read: No such file or directory.",
    "folder cannot be read: Is a directory.",
    "binary is binary (3 bytes): look at it with bash (file, xxd, strings).",
    "/dev/zero is larger than 32 MiB: read parts of it with bash (head, tail, sed -n, grep).",
    "folder cannot be written: Is a directory.",
    expect.stringContaining("auth.js/x cannot be written: "),
    expect.stringContaining("/etc/shepherd-test cannot be written: "),
  ]);
  expect(existsSync("/etc/shepherd-test")).toBe(false);
});

test("a link in the workspace leads no tool out of the sandbox", async () => {
  writeFileSync(`${rig.directory}/outside.txt`, "untouched");
  symlinkSync(`${rig.directory}/outside.txt`, host("link"));
  symlinkSync(`${rig.directory}/store`, host("store"));
  const [edited, , store] = await use(
    ["edit", { path: "link", old: "untouched", new: "changed" }],
    ["write", { path: "link", content: "changed" }],
    ["read", { path: "store/format" }],
  );
  expect([edited![0], store![0]]).toEqual(["failed", "failed"]);
  expect(readFileSync(`${rig.directory}/outside.txt`, "utf8")).toBe("untouched");
});

test("edit wants exactly one occurrence, unless all are asked for, and leaves the other bytes as they are", async () => {
  put("x.bin", Buffer.from("a\xff a \xfe a", "latin1"));
  expect(await one("edit", { path: "x.bin", old: "b", new: "c" })).toEqual([
    "failed",
    "`old` does not occur in x.bin: read the file again and give the text exactly as it stands there.",
  ]);
  expect((await one("edit", { path: "x.bin", old: "a", new: "b" }))[1]).toBe(
    "`old` occurs 3 times in x.bin: give more of the text around it, or set `all`.",
  );
  expect(await one("edit", { path: "x.bin", old: "a", new: "$&", all: true })).toEqual([
    "done",
    "Replaced 3 occurrences in x.bin.",
  ]);
  expect(readFileSync(host("x.bin"))).toEqual(Buffer.from("$&\xff $& \xfe $&", "latin1"));
  expect((await one("edit", { path: "x.bin", old: "", new: "b" }))[1]).toContain("`old` is empty");
  expect((await one("edit", { path: "x.bin", old: "b", new: "b" }))[1]).toContain("nothing would change");
});

test("an unknown tool and an input that does not fit are results for the model", async () => {
  expect(
    await use(
      ["look", {}],
      ["bash", {}],
      ["bash", { command: 3 }],
      ["bash", "ls"],
      ["bash", { command: "ls", cwd: "/" }],
      ["bash", { command: "ls", timeout_ms: 0 }],
      ["bash", { command: "ls\0" }],
      ["edit", { path: "auth.js", old: "a", new: "b", all: "yes" }],
    ),
  ).toEqual([
    ["failed", 'There is no tool "look"; there are bash, read, write, edit, glob, grep.'],
    ["failed", 'The input of bash lacks "command".'],
    ["failed", 'In the input of bash, "command" must be text.'],
    ["failed", "The input of bash must be an object."],
    ["failed", 'The input of bash has an unknown member "cwd"; it takes command, timeout_ms.'],
    ["failed", 'In the input of bash, "timeout_ms" must be a whole number from 1 to 3600000.'],
    ["failed", 'In the input of bash, "command" must not hold NUL characters.'],
    ["failed", 'In the input of edit, "all" must be true or false.'],
  ]);
});

test("a long output is shortened for the model and kept whole in its step", async () => {
  const [status, text] = await one("bash", { command: "seq 20000; exit 1" });
  expect(status).toBe("failed");
  expect(text.length).toBeLessThan(MAX_TEXT + 200);
  expect(text).toMatch(/^1\n2\n3\n/);
  expect(text).toMatch(
    /characters left out here\. To see them, run it again with the output in a file, and read that in parts\.\]\n/,
  );
  expect(text).toMatch(/19999\n20000\n\[exit code 1\]$/);
  const whole = await resultOf(lastStep());
  expect(whole.toString().split("\n")).toHaveLength(20001);
});

test("of an endless output the end is shown too, and what was not kept is counted", async () => {
  const [status, text] = await one("bash", { command: "head -c 9000000 /dev/zero | tr '\\0' x; echo; echo the end" });
  expect(status).toBe("done");
  expect(text).toMatch(/the end\n$/);
  expect(lastStep().outcome).toMatchObject({ bytes: 9_000_009 });
  expect((await resultOf(lastStep())).length).toBe(8 << 20);
});
