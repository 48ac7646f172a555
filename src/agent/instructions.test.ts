import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { afterEach, expect, test } from "vitest";
import { agentRig, items, type Rig, recording } from "../../test/support/agent-rig.ts";
import { textOf } from "../scope/thread.ts";
import { runAgent } from "./loop.ts";
import { resumeAgent } from "./resume.ts";

let rig: Rig;
afterEach(() => rig.end());
const signal = new AbortController().signal;

async function begun(files: { [path: string]: string }): Promise<Awaited<ReturnType<Rig["start"]>>> {
  rig = await agentRig();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(`${rig.workspace}/${path}`), { recursive: true });
    if (text.startsWith("-> ")) symlinkSync(text.slice(3), `${rig.workspace}/${path}`);
    else writeFileSync(`${rig.workspace}/${path}`, text);
  }
  return rig.start();
}
const told = (path: string, text: string): string =>
  `<project_instructions path="${path}">\n${text}\n</project_instructions>`;

test("what the repository says is told before the model is asked, and once; what a directory says, when a call has named a file there", async () => {
  const scope = await begun({
    "AGENTS.md": "Use tabs.\n",
    "CLAUDE.md": "-> AGENTS.md",
    "lib/CLAUDE.md": "Lib has rules.\n",
    "lib/deep/AGENTS.md": "-> ../CLAUDE.md",
    "lib/deep/a.txt": "a\n",
    "other/AGENTS.md": "Nobody comes here.\n",
  });
  const model = recording(
    rig.script(
      { call: [{ tool: "read", input: { path: "lib/deep/a.txt" } }] },
      { call: [{ tool: "read", input: { path: "lib/deep/a.txt" } }] },
      { say: "done" },
      { say: "done again" },
    ),
  );
  expect(await runAgent(scope, { model, signal })).toMatchObject({ stopped: "done" });
  const said = async (): Promise<string[]> =>
    (await items(scope)).flatMap((item) => (item.role === "user" ? [textOf(item)] : []));
  expect(await said()).toEqual(["fix it", told("AGENTS.md", "Use tabs."), told("lib/CLAUDE.md", "Lib has rules.")]);
  expect(model.requests.map(({ messages }) => messages.length)).toEqual([2, 5, 7]);
  // A request begins with the one before it.
  for (const [at, { messages }] of model.requests.entries())
    if (at > 0)
      expect(messages.slice(0, model.requests[at - 1]!.messages.length)).toEqual(model.requests[at - 1]!.messages);
  expect([1, 4].map((n) => scope.writer.fold.steps.get(n)!.intent.kind)).toEqual(["message", "message"]);
  await resumeAgent(scope, { model, signal, instruction: "again" });
  expect((await said()).slice(3)).toEqual(["again"]);
});

test("an agent that starts further down is told what stands on the way; a long text is cut, and says so", async () => {
  const scope = await begun({ "AGENTS.md": "x".repeat(40_000), "pkg/a/AGENTS.md": "Mine.", "pkg/CLAUDE.md": "  \n" });
  const model = rig.script({ say: "done" });
  await runAgent(scope, { model, signal, at: "pkg/a" });
  const [, root, own, ...more] = (await items(scope)).map((item) => textOf(item));
  expect(root).toContain(`${"x".repeat(100)}\n[cut here: read AGENTS.md for the rest]`);
  expect(root!.length).toBeLessThan(33_000);
  expect([own, more]).toEqual([told("pkg/a/AGENTS.md", "Mine."), ["done"]]);
});

test("who has no tools of files, or wants none, is told nothing", async () => {
  const scope = await begun({ "AGENTS.md": "Use tabs.\n" });
  await runAgent(scope, { model: rig.script({ say: "done" }), signal, instructions: false });
  expect(await items(scope)).toHaveLength(2);
});
