import { afterEach, beforeEach, expect, test } from "vitest";
import {
  agentRig,
  dyingStore,
  framesOf,
  items,
  line,
  type Rig,
  recording,
  tool,
} from "../../test/support/agent-rig.ts";
import { long } from "../../test/support/runs.ts";
import { itemsOf, textOf } from "../scope/thread.ts";
import { runAgent } from "./loop.ts";
import type { ModelPort } from "./model.ts";
import { functionPort } from "./ports/function.ts";
import { resumeAgent } from "./resume.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());
const signal = new AbortController().signal;
const retry = { attempts: 2, delay: () => 0 };
const look = tool("look", "shared", async () => "x".repeat(400));

/** Asks for calls until it was asked to sum up, then is done. Tells 90 tokens a message. */
const filling = (): ModelPort => ({
  ...functionPort(({ messages }) => {
    const usage = { input: 90 * messages.length, output: 10 };
    const last = textOf(messages.at(-1)!);
    if (last.startsWith("There is no room"))
      return { text: "I have looked twice.", calls: [{ tool: "look", input: {} }], usage };
    if (textOf(messages[1] ?? { content: [] }).includes("summed up")) return { text: "Done.", usage };
    return { text: "I look.", calls: [{ tool: "look", input: {} }], usage };
  }),
  context: 450,
});

test("a conversation that fills its model is summed up as a step, and goes on from its task and the summary", async () => {
  const scope = await rig.start("look around");
  const model = recording(filling());
  expect(await runAgent(scope, { model: { ...model, context: 450 }, signal, tools: [look] })).toEqual({
    stopped: "done",
    text: "Done.",
  });
  expect((await items(scope)).map((item) => textOf(item))).toEqual([
    "look around",
    "What was said and done so far was summed up, to make room:\n\nI have looked twice.",
    "Done.",
  ]);
  const kinds = [...scope.writer.fold.steps.values()].map(({ intent }) => `${intent.kind} ${intent.thread}`);
  expect(kinds).toEqual([
    "run main",
    "model main",
    "tool main",
    "model main",
    "tool main",
    "message summary-1",
    "model summary-1",
    "compact main",
    "model main",
  ]);
  // The summary is asked for behind the very same conversation.
  const [, second, summing] = model.requests;
  expect(summing!.messages.slice(0, second!.messages.length)).toEqual(second!.messages);
  expect({ ...summing, messages: [] }).toEqual({ ...second, messages: [] });
  // All of it is still there.
  const full = await itemsOf(rig.store, scope.head().state!.threads["summary-1"]);
  expect(full.map(({ role }) => role)).toEqual([
    "user",
    "assistant",
    "result",
    "assistant",
    "result",
    "user",
    "assistant",
  ]);
});

test("killed at any frame, it is summed up once more at most, and no answer that stands is asked for again", async () => {
  const whole = await rig.start("look around");
  await runAgent(whole, { model: filling(), signal, tools: [look] });
  const frames = await framesOf(whole);
  const ids = whole.writer.fold.sealed.map(({ sealed }) => sealed!.state.threads.main);
  await whole.close();
  const first = frames.findIndex((frame) => line(frame) === "5 intent message");
  for (let seq = first; seq < frames.length; seq += long ? 1 : 4) {
    const name = `k${seq}`;
    const scope = await rig.start("look around", { name, store: dyingStore(rig.store, seq) });
    let asked = 0;
    const counting = (port: ModelPort): ModelPort => ({
      ...port,
      call: (...given) => {
        asked++;
        return port.call(...given);
      },
    });
    await runAgent(scope, { model: counting(filling()), signal, tools: [look], retry });
    await scope.close().catch(() => {});
    const again = await rig.drive(name);
    expect(await resumeAgent(again, { model: counting(filling()), signal, tools: [look], retry })).toMatchObject({
      stopped: "done",
    });
    expect(again.head().state!.threads.main).toEqual(ids.at(-1));
    expect(asked).toBeLessThanOrEqual(5);
    await again.close();
  }
});

test("where no summary can be had the run ends with the reason, and can be gone on with", async () => {
  const scope = await rig.start("look around");
  const fails: ModelPort = {
    ...filling(),
    call: (request, ...rest) => {
      if (textOf(request.messages.at(-1)!).startsWith("There is no room")) throw new Error("down");
      return filling().call(request, ...rest);
    },
  };
  const options = { signal, tools: [look], retry };
  expect(await runAgent(scope, { ...options, model: fails })).toMatchObject({
    stopped: "error",
    error: { message: "down" },
  });
  expect(await resumeAgent(scope, { ...options, model: filling() })).toMatchObject({ stopped: "done" });
  const threads = Object.keys(scope.head().state!.threads);
  expect(threads).toEqual(["main", "summary-1"]);
});
