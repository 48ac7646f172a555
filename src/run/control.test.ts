import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, type Rig } from "../../test/support/agent-rig.ts";
import type { EffectView } from "../scope/effect.ts";
import type { Json } from "../trace/ports.ts";
import { makeControl } from "./control.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

const NOBODY = new AbortController().signal;
const LONE = "anna \ud800";

test("an input that cannot be written down is refused in a sentence, and the call waits for another answer", async () => {
  const scope = await rig.start();
  const { methods, handlers } = makeControl(scope);
  const leaves = new AbortController();
  let ask = (_id: string): void => {};
  const asked = new Promise<string>((resolve) => {
    ask = resolve;
  });
  await new Promise<void>((attached) => {
    const hear = async (event: Json) => {
      const { type, id } = event as { type: string; id: string };
      if (type === "attached") attached();
      if (type === "ask") ask(id);
    };
    void methods.gate!({ asks: true, by: LONE }, hear, leaves.signal);
  });
  const view = { kind: "tool", tier: "reversible", name: "bash", input: { command: "make" } } as unknown as EffectView;
  const n = await scope.writer.intent({ kind: "tool", tier: "reversible" });
  const decided = handlers.at(-1)!.handle({ ...view, n }, NOBODY);
  const id = await asked;
  const answer = (input: Json) => methods.answer!({ id, answer: { kind: "rewrite", input } }, async () => {}, NOBODY);
  await expect(answer({ ms: Number.POSITIVE_INFINITY })).rejects.toThrow(
    "That input cannot be written down: The number Infinity has no canonical form.",
  );
  await expect(answer({ command: "\ud800" })).rejects.toThrow("lone surrogate");
  await answer({ command: "make -n" });
  expect(await decided).toEqual({ kind: "rewrite", input: { command: "make -n" } });
  expect(scope.writer.fold.notes.get("gate")!.witness).toMatchObject({ by: "anna \ufffd" });
  leaves.abort();
});

test("who pauses a run, and ends that, may be called anything", async () => {
  const scope = await rig.start();
  const { methods } = makeControl(scope);
  await methods.pause!({ by: LONE }, async () => {}, NOBODY);
  expect(await methods.resume!({ by: LONE }, async () => {}, NOBODY)).toBe(true);
  expect(scope.writer.fold.notes.get("run")!.witness).toMatchObject({ by: "anna \ufffd" });
});
