import fc from "fast-check";
import { expect, test } from "vitest";
import { putTexts } from "../../test/support/histories.ts";
import { params } from "../../test/support/runs.ts";
import { tempStore } from "../../test/support/temp-store.ts";
import { encodeJson, link } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { compareRuns, type DifferenceKind } from "./compare.ts";
import { forkScope } from "./fork.ts";
import { createScope, NO_GRANTS } from "./registry.ts";
import { attach, type LiveScope, record, treeLink } from "./scope.ts";
import { putBytes, putItem } from "./thread.ts";
import { cameThrough, readScope } from "./view.ts";

/** A step of a run, as far as two runs can differ in it. */
interface Made {
  kind: "model" | "tool" | "message" | "inject";
  said: string;
  model: string;
  input: string;
  result: string;
  failed: boolean;
  file: string;
}
const word = fc.constantFrom("a", "b", "c", "d");
const made: fc.Arbitrary<Made> = fc.record({
  kind: fc.constantFrom("model", "tool", "tool", "message", "inject"),
  said: word,
  model: fc.constantFrom("m", "m", "n"),
  input: word,
  result: word,
  failed: fc.boolean(),
  file: word,
});

const thread = (item: Awaited<ReturnType<typeof putItem>>) => ({ main: { append: [item] } });

async function begin(store: EmbeddedStore, directory: string, name: string, task: string): Promise<LiveScope> {
  const workspace = { path: directory, id: "w" };
  await createScope(store, { name, workspace, parent: null, origin: null, grants: NO_GRANTS });
  const scope = await attach(store, name);
  const what = link("json", await store.objects.put(encodeJson({ type: "task", v: 1, worker: "agent", text: task })));
  const files = treeLink(await putTexts(store, { f: ["begun"] }));
  await record(scope, { kind: "run", tier: "reversible", what }, { status: "done", workspace: files });
  return scope;
}

/** @param salt other names of calls, which mean nothing */
async function perform(scope: LiveScope, steps: readonly Made[], salt: string): Promise<void> {
  const { store } = scope;
  const put = (value: Json) => store.objects.put(encodeJson(value)).then((id) => link("json", id));
  for (const [at, { kind, said, model, input, result, failed, file }] of steps.entries()) {
    const id = `${salt}${at}`;
    if (kind === "model") {
      const what = await put({
        type: "request",
        v: 1,
        model,
        system: await putBytes(store, Buffer.from("s")),
        items: null,
      });
      const item = await putItem(store, {
        role: "assistant",
        content: [
          { type: "text", text: said },
          { type: "call", id, name: "bash", input: { command: input } },
        ],
      });
      await record(scope, { kind, tier: "repeatable", what }, { status: "done", result: item, threads: thread(item) });
    } else if (kind === "tool") {
      const what = await put({ type: "call", id, name: "bash", input: { command: input } });
      const item = await putItem(store, {
        role: "result",
        call: id,
        status: "done",
        content: [{ type: "text", text: result }],
      });
      const workspace = treeLink(await putTexts(store, { f: [file] }));
      const status = failed ? "failed" : "done";
      await record(scope, { kind, tier: "reversible", what }, { status, workspace, threads: thread(item) });
    } else {
      const item = await putItem(store, { role: "user", content: [{ type: "text", text: said }] });
      await record(scope, { kind, tier: "reversible", what: item }, { status: "done", threads: thread(item) });
    }
  }
}

/** Changes a step in one way that counts; gives what should be told of it. */
function changed(step: Made, how: number): { step: Made; kind: DifferenceKind } {
  const other = (text: string): string => `${text}!`;
  const ways: { [kind in Made["kind"]]: Array<[Partial<Made>, DifferenceKind]> } = {
    model: [
      [{ said: other(step.said) }, "answer"],
      [{ input: other(step.input) }, "answer"],
      [{ model: other(step.model) }, "request"],
      [{ kind: "tool" }, "step"],
    ],
    tool: [
      [{ input: other(step.input) }, "call"],
      [{ result: other(step.result) }, "result"],
      [{ failed: !step.failed }, "status"],
      [{ file: other(step.file) }, "files"],
    ],
    message: [
      [{ said: other(step.said) }, "message"],
      [{ kind: "model" }, "step"],
    ],
    inject: [[{ said: other(step.said) }, "message"]],
  };
  const all = ways[step.kind];
  const [change, kind] = all[how % all.length]!;
  return { step: { ...step, ...change }, kind };
}

test("the first difference is found in pairs of runs with known answers, forks and runs of their own", async () => {
  const property = async (steps: Made[], at: number, how: number, fork: boolean, shorter: boolean): Promise<void> => {
    const temp = await tempStore();
    try {
      const { store } = temp;
      const where = at % steps.length;
      const one = await begin(store, temp.directory, "one", "do it");
      await perform(one, steps, "x");
      await one.close();
      const change = changed(steps[where]!, how);
      const otherwise = shorter
        ? steps.slice(0, where)
        : [...steps.slice(0, where), change.step, ...steps.slice(where + 1)];
      let other: LiveScope;
      if (fork) {
        const [ref] = await forkScope(store, "one", where, { name: "other" });
        other = await attach(store, ref!.name);
        await perform(other, otherwise.slice(where), "y");
      } else {
        other = await begin(store, temp.directory, "other", "do it");
        await perform(other, otherwise, "y");
      }
      await other.close();
      const [a, b] = [await readScope(store, "one"), await readScope(store, "other")];
      // A fork that has done nothing yet stands where it was forked.
      const ways = [a, b].map(async (view) => (await cameThrough(store, view)).reverse());
      const [was, is] = (await Promise.all(ways)) as [Awaited<(typeof ways)[0]>, Awaited<(typeof ways)[0]>];
      const { same, differences } = await compareRuns(store, was, is);
      const [first] = differences;
      // Step 0 is the task.
      expect([first?.kind, first?.a?.step.n, first?.b?.step.n ?? null]).toEqual(
        shorter ? ["end", where + 1, null] : [change.kind, where + 1, where + 1],
      );
      expect(same).toBe(where + 1);
      const again = await compareRuns(store, is, was);
      expect(again.differences.map(({ kind, was, is }) => [kind, is, was])).toEqual(
        differences.map(({ kind, was, is }) => [kind, was, is]),
      );
      expect((await compareRuns(store, was, was)).differences).toEqual([]);
    } finally {
      await temp.end();
    }
  };
  await fc.assert(
    fc.asyncProperty(
      fc.array(made, { minLength: 1, maxLength: 12 }),
      fc.nat(),
      fc.nat(),
      fc.boolean(),
      fc.boolean(),
      property,
    ),
    params(200, 8),
  );
});

test("another task, other files at the beginning, and what is the same all the same", async () => {
  const temp = await tempStore();
  try {
    const { store } = temp;
    const step: Made = { kind: "model", said: "a", model: "m", input: "a", result: "a", failed: false, file: "a" };
    for (const [name, task] of [
      ["one", "this"],
      ["other", "that"],
    ] as const) {
      const scope = await begin(store, temp.directory, name, task);
      await perform(scope, [step, { ...step, kind: "tool", result: task }], name);
      await scope.close();
    }
    const [a, b] = await Promise.all(
      ["one", "other"].map(async (name) => (await cameThrough(store, await readScope(store, name))).reverse()),
    );
    const { same, differences } = await compareRuns(store, a!, b!);
    expect(same).toBe(0);
    expect(differences.map(({ kind, a, was, is }) => [kind, a!.step.n, was, is])).toEqual([
      ["task", 0, "this (agent)", "that (agent)"],
      ["result", 2, "this", "that"],
    ]);
  } finally {
    await temp.end();
  }
});
