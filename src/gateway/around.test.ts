/** What stands around the requests of an agent that is driven: a pause, and what people tell it. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { type GatewayRig, gatewayRig } from "../../test/support/gateway-rig.ts";
import { answered, anthropicWhole } from "../../test/support/provider.ts";
import { followCalls } from "./follow.ts";

let rig: GatewayRig;
beforeEach(async () => {
  rig = await gatewayRig(answered(200, anthropicWhole([{ type: "text", text: "Hi." }])));
  await rig.stop();
});
afterEach(() => rig.end());

const user = (content: string) => ({ role: "user", content });
const ask = (...messages: object[]) => ({ model: "claude-haiku-4-5", max_tokens: 9, messages });

/** A promise and what resolves it. */
function gate(): { open: () => void; opened: Promise<void> } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

test("a request that is held back is not written down and does not leave; one whose client goes away never is", async () => {
  const came = gate();
  const goes = gate();
  const left = gate();
  rig.serve({
    hold: async (signal) => {
      came.open();
      signal.addEventListener("abort", left.open);
      await Promise.race([
        goes.opened,
        left.opened.then(() => {
          throw signal.reason;
        }),
      ]);
    },
  });
  const client = new AbortController();
  const lost = rig.messages(ask(user("lost")), { signal: client.signal });
  await came.opened;
  client.abort();
  await expect(lost).rejects.toThrow();
  await left.opened;
  const kept = rig.messages(ask(user("kept")));
  expect(rig.steps("message")).toHaveLength(0);
  expect(rig.provider.asked).toHaveLength(0);
  goes.open();
  expect((await kept).status).toBe(200);
  expect((await rig.lines()).filter((line) => line.includes("intent"))).toHaveLength(2);
  expect(rig.provider.asked).toHaveLength(1);
});

test("a message that tells what somebody has injected is a step of its own, with who did it", async () => {
  const seen: Array<number | undefined> = [];
  rig.serve({
    injected: (item, inside) => {
      seen.push(inside);
      return JSON.stringify(item).includes("use zod") ? { by: "anna" } : null;
    },
  });
  const first = ask(user("go"));
  await rig.messages(first);
  const said = { role: "assistant", content: [{ type: "text", text: "Hi." }] };
  const second = [...first.messages, said, user("before"), user("please use zod"), user("behind")];
  await rig.messages(ask(...second));
  // Told once more, it is known.
  await rig.messages(ask(...second, said, user("more")));
  expect(seen.every((inside) => inside === undefined)).toBe(true);
  const kinds = [...rig.scope.writer.fold.steps.values()].slice(1);
  expect(kinds.map(({ intent, witness }) => `${intent.kind}${witness.by ? ` by ${witness.by}` : ""}`)).toEqual([
    "message",
    "model",
    "message",
    "inject by anna",
    "message",
    "model",
    "message",
    "model",
  ]);
  expect(await rig.items()).toHaveLength(8);
});

test("what a request is made of is stored once, also where it is looked for an answer on record first", async () => {
  const { objects } = rig.scope.store;
  const { put } = objects;
  let puts = 0;
  objects.put = (...args) => {
    puts++;
    return put.apply(objects, args);
  };
  const putsFor = async (task: string): Promise<number> => {
    puts = 0;
    await rig.messages({ ...ask(user(task)), system: `You are ${task}.` });
    return puts;
  };
  rig.serve();
  const without = await putsFor("one");
  await rig.stop();
  const { signal } = new AbortController();
  const calls = followCalls(rig.scope, { traits: () => ({}), broken: (why) => expect.fail(why), signal });
  rig.serve({ calls });
  expect(await putsFor("two")).toBe(without);
});
