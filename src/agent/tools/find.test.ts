import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { agentRig, items, type Rig } from "../../../test/support/agent-rig.ts";
import type { LiveScope } from "../../scope/scope.ts";
import { getBytes, textOf } from "../../scope/thread.ts";
import { runAgent } from "../loop.ts";
import { braces, fitting } from "./glob.ts";

let rig: Rig;
let scope: LiveScope;
const scripted: object[] = [];

const FILES: { [path: string]: string | Uint8Array } = {
  "src/a.ts": "const one = 1;\nconst two = 2;\n",
  "src/deep/er/b.tsx": "export const One = 3;\n",
  "src/name with space.py": "one = 1\n",
  "README.md": "one\n",
  "node_modules/x/index.js": "const one = 1;\n",
  ".git/HEAD": "one\n",
  ".hidden/c.ts": "one();\n",
  "bin.dat": Uint8Array.of(0x6f, 0x6e, 0x65, 0, 10),
  "-dash.ts": "one\n",
};

beforeAll(async () => {
  rig = await agentRig({ "seed.txt": "" });
  scope = await rig.start();
  for (const [path, content] of Object.entries(FILES)) {
    mkdirSync(dirname(`${scope.files!.host}/${path}`), { recursive: true });
    writeFileSync(`${scope.files!.host}/${path}`, content);
  }
  symlinkSync("src", `${scope.files!.host}/link`);
});
afterAll(() => rig.end());

/** Performs calls in one turn; gives status and text of each. */
async function use(...calls: Array<[tool: string, input: object]>): Promise<Array<[string, string]>> {
  scripted.push({ call: calls.map(([tool, input]) => ({ tool, input })) });
  const before = (await items(scope)).length;
  const signal = new AbortController().signal;
  expect((await runAgent(scope, { model: rig.script(...scripted), signal, maxTurns: 1 })).error).toBeUndefined();
  return (await items(scope))
    .slice(before + 1)
    .map((item) => [item.role === "result" ? item.status : "?", textOf(item)]);
}

test("glob finds names, sorted, and says when there are more", async () => {
  expect(
    await use(
      ["glob", { pattern: "*.ts" }],
      ["glob", { pattern: "src/**/*.{ts,tsx}" }],
      ["glob", { pattern: "**/*.ts", limit: 1 }],
      ["glob", { pattern: "*.js", path: "node_modules" }],
      ["glob", { pattern: "*.py", path: "link" }],
      ["glob", { pattern: "*.rs" }],
      ["glob", { pattern: "*", path: "none" }],
    ),
  ).toEqual([
    ["done", "-dash.ts\n.hidden/c.ts\nsrc/a.ts\n"],
    ["done", "src/a.ts\nsrc/deep/er/b.tsx\n"],
    ["done", "-dash.ts\n[2 more names: give a narrower pattern, or a larger limit.]\n"],
    ["done", "node_modules/x/index.js\n"],
    ["done", "link/name with space.py\n"],
    ["done", "No file in . has a name like *.rs."],
    ["failed", "none cannot be searched: No such file or directory"],
  ]);
});

test("grep finds lines, sorted by path, in text alone", async () => {
  expect(
    await use(
      ["grep", { pattern: "\\bone\\b" }],
      ["grep", { pattern: "ONE =", ignore_case: true, files: "*.{ts,tsx}" }],
      ["grep", { pattern: "one", path: "src/a.ts" }],
      ["grep", { pattern: "one", path: "src", files: "deep/**/*.tsx", ignore_case: true }],
      ["grep", { pattern: "one", path: "node_modules/x", limit: 1 }],
      ["grep", { pattern: "-o" }],
      ["grep", { pattern: "one(" }],
      ["grep", { pattern: "one", path: "none" }],
      ["grep", { pattern: "one", limit: 2 }],
    ),
  ).toEqual([
    [
      "done",
      "-dash.ts:1:one\n.hidden/c.ts:1:one();\nREADME.md:1:one\nsrc/a.ts:1:const one = 1;\nsrc/name with space.py:1:one = 1\n",
    ],
    ["done", "src/a.ts:1:const one = 1;\nsrc/deep/er/b.tsx:1:export const One = 3;\n"],
    ["done", "src/a.ts:1:const one = 1;\n"],
    ["done", "src/deep/er/b.tsx:1:export const One = 3;\n"],
    ["done", "node_modules/x/index.js:1:const one = 1;\n"],
    ["done", "No line in . fits -o."],
    ["failed", expect.stringMatching(/^\. was not searched: .*[(]/)],
    ["failed", "none was not searched: No such file or directory"],
    [
      "done",
      "-dash.ts:1:one\n.hidden/c.ts:1:one();\n[3 more lines: give a narrower pattern, fewer files, or a larger limit.]\n",
    ],
  ]);
  // All that was found stands with the step.
  const last = scope.writer.fold.sealed.at(-1)!;
  expect((await getBytes(rig.store, last.outcome!.result!)).toString().split("\n")).toHaveLength(6);
});

test("braces stand for one of several, and no pattern makes too many", () => {
  expect(braces("a{b,c}d{e,}")).toEqual(["abde", "abd", "acde", "acd"]);
  expect(braces("{a}")).toEqual(["{a}"]);
  expect(braces("{a,b}".repeat(20))).toHaveLength(1);
  expect(fitting("**/x/*.c")("a/x/b.c")).toBe(true);
  expect(fitting("**/x/*.c")("x/b.c")).toBe(true);
  expect(fitting("x/*.c")("a/x/b.c")).toBe(false);
});
