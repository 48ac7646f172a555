import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, type Rig } from "../../test/support/agent-rig.ts";
import { inject, makeInbox } from "../run/inject.ts";
import type { LiveScope } from "../scope/scope.ts";
import type { Item } from "../scope/thread.ts";
import { makeDelivery } from "./deliver.ts";

let rig: Rig;
let scope: LiveScope;
beforeEach(async () => {
  rig = await agentRig();
  scope = await rig.start();
});
afterEach(() => rig.end());

const message = (...texts: string[]): Item => ({
  role: "user",
  content: texts.map((text) => ({ type: "text", text })),
});
const say = (id: string, text: string): Promise<void> => inject(scope, { id, text, witness: { by: "anna" } });

/** A delivery to an agent that takes `takes` texts. */
function agent(takes = Number.POSITIVE_INFINITY) {
  const got: string[] = [];
  let more = (): void => {};
  const delivery = makeDelivery(scope, makeInbox(scope), { asMessage: (text) => text }, (text) => {
    if (got.length >= takes) return false;
    got.push(text);
    more();
    return true;
  });
  const has = async (count: number): Promise<string[]> => {
    while (got.length < count)
      await new Promise<void>((resolve) => {
        more = resolve;
      });
    return got;
  };
  return { delivery, got, has };
}

test("what waits is handed over once the agent has begun, and what comes later as it comes", async () => {
  const { delivery, got, has } = agent();
  await say("a", "one");
  expect(got).toEqual([]);
  delivery.begin();
  await has(1);
  await say("b", "two");
  expect(await has(2)).toEqual(["one", "two"]);
  delivery.end();
  await say("c", "three");
  expect(got).toHaveLength(2);
});

test("a message tells it that holds the text on lines of its own, in the agent's own conversation", async () => {
  const { delivery, has } = agent();
  await say("a", "use zod\nplease");
  await say("b", "ok");
  delivery.begin();
  await has(2);
  expect(delivery.injected(message("He said ok to use zod\nplease do"), undefined)).toBeNull();
  expect(delivery.injected(message("use zod\nplease"), 4)).toBeNull();
  const told = delivery.injected(
    message("A file has changed.", "The user says:\n  use zod\nplease\n\nGo on."),
    undefined,
  );
  expect(told).toMatchObject({ by: "anna", inject: ["a"] });
  expect(delivery.injected(message("use zod\nplease"), undefined)).toBeNull();
  expect(delivery.injected(message("ok"), undefined)).toMatchObject({ inject: ["b"] });
});

test("an agent that is done goes on for what its model was not told, but not for ever", async () => {
  const { delivery, has } = agent();
  expect(delivery.goesOn()).toBe(false);
  await say("a", "one");
  delivery.begin();
  await has(1);
  expect([delivery.goesOn(), delivery.goesOn()]).toEqual([true, false]);
  await say("b", "two");
  await has(2);
  expect([delivery.goesOn(), delivery.goesOn()]).toEqual([true, false]);
});

test("what it does not take is not handed over; one that has nothing to do gets all as its task", async () => {
  const deaf = agent(0);
  await say("a", "one");
  deaf.delivery.begin();
  await say("b", "two");
  expect(deaf.delivery.goesOn()).toBe(false);
  const idle = agent();
  expect(await idle.delivery.asPrompt()).toBe("one\n\ntwo");
  expect(await idle.delivery.asPrompt()).toBeNull();
  expect(idle.delivery.injected(message("one\n\ntwo"), undefined)).toMatchObject({ inject: ["a", "b"] });
});
