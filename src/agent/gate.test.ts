/** Gates of the library that have a name, and gates that a run declares. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { type LibraryRig, libraryRig } from "../../test/support/library-rig.ts";
import { z } from "../../test/support/z.ts";
import { agent, Conflict, Denied, effect, Invalid } from "../index.ts";
import { definitionOf } from "./agent.ts";
import { resumed } from "./handle.ts";

let rig: LibraryRig;
let acts: string[];
beforeEach(() => {
  rig = libraryRig();
  acts = [];
});
afterEach(() => rig.end());

const send = effect({
  ...{ tier: "irreversible", input: z.string(), output: z.string() },
  run: (to) => {
    acts.push(to);
    return `sent to ${to}`;
  },
});
const mail = agent("mail", {
  input: z.string(),
  effects: { send },
  body: async (to, ctx) =>
    ctx.do.send(to).catch((error) => {
      if (error instanceof Denied) return error.message;
      throw error;
    }),
});
/** Sends by another agent. */
const desk = agent("desk", { input: z.string(), body: (to, ctx) => ctx.call(mail, to) });

test("a gate that is declared is missed until it is there, in agents that are called, too, and in forks", async () => {
  const away = "the gate docs is not there, and what it was not asked about is denied";
  const denied = desk.start("them", { ...rig.at, guards: { docs: "deny" } });
  expect(await denied.result).toBe(away);
  const asked = desk.start("you", { ...rig.at, guards: { docs: "deny" } });
  const gate = asked.gate(() => "allow", { as: "docs" });
  expect(await gate.attached).toEqual({ decided: [], waiting: [] });
  expect(await asked.result).toBe("sent to you");
  await gate.ended;
  expect(await desk.start("us", { ...rig.at, guards: { lax: "allow" } }).result).toBe("sent to us");
  expect(await denied.fork({ at: 0, store: rig.at.store }).result).toBe(away);
  expect(acts).toEqual(["you", "us"]);
});

test("one that comes from elsewhere is told what waits for it, what was decided in its name, and when it is over", async () => {
  const run = mail.start("you", { ...rig.at, guards: { docs: "wait" } });
  const name = await run.scope;
  // As a process has it that does not drive it.
  const elsewhere = resumed(definitionOf(mail)!, name, { store: rig.at.store }, false);
  let ask = (): void => {};
  const asks = new Promise<void>((resolve) => {
    ask = resolve;
  });
  const reach = async (...words: Parameters<typeof elsewhere.gate>) => {
    for (;;) {
      const gate = elsewhere.gate(...words);
      if (await gate.attached.catch(() => null)) return gate;
    }
  };
  const first = await reach(() => {
    ask();
    return new Promise(() => {});
  }, "docs");
  await asks;
  await expect(elsewhere.gate(() => "allow", "docs").attached).rejects.toThrow(Conflict);
  first.close();
  await first.ended;
  const second = await reach(() => ({ rewrite: "them" }), "docs");
  expect(await second.attached).toEqual({ decided: [], waiting: [1] });
  expect(await run.result).toBe("sent to them");
  await second.ended;
  await expect(elsewhere.gate(() => "allow", "docs").attached).rejects.toThrow(Conflict);
});

test("what is no name, and what declares no gate, is refused", async () => {
  const run = mail.start("you", { ...rig.at, guards: { docs: "deny" } });
  expect(() => run.gate(() => "allow", { as: "No name" })).toThrow(Invalid);
  const one = run.gate(() => "allow", { as: "docs" });
  const other = run.gate(() => "allow", { as: "docs" });
  await one.attached;
  await expect(other.attached).rejects.toThrow("A gate docs is at mail already");
  expect(await run.result).toBe("sent to you");
  await expect(mail.start("x", { ...rig.at, guards: { docs: "maybe" as "wait" } }).result).rejects.toThrow(
    'The gate docs is declared by "allow", "deny" or "wait", not "maybe".',
  );
  await expect(mail.start("x", { ...rig.at, guards: { "": "deny" } }).result).rejects.toThrow(Invalid);
});
