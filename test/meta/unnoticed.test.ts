/** What must not be noticed: looking, a pause, a gate that allows, a replay. Steps and requests are those of a run that was left alone. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { requestOf } from "../../src/agent/request.ts";
import { withStore } from "../../src/agent/stores.ts";
import { agent, type Run, worker } from "../../src/index.ts";
import { OPERATIONS } from "../../src/meta/operation.ts";
import { useCommand } from "../../src/run/child.ts";
import { readScope } from "../../src/scope/view.ts";
import type { Json } from "../../src/trace/ports.ts";
import { built } from "../support/built.ts";
import { type LibraryRig, libraryRig } from "../support/library-rig.ts";
import { until } from "../support/user.ts";

beforeAll(async () => useCommand(await built()), 300_000);
let rig: LibraryRig;
beforeEach(() => {
  rig = libraryRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

const gate = (): string => join(rig.directory, "gate");
const go = (name: string): void => writeFileSync(join(gate(), name), "");
const wait = (name: string): string =>
  `touch ${gate()}/${name}.begun; until [ -e ${gate()}/${name} ]; do sleep 0.02; done; echo ${name} > ${name}.txt`;
const begun = (name: string): Promise<void> =>
  until(
    () => existsSync(join(gate(), `${name}.begun`)),
    () => `${name} has not begun`,
  );
const at = () => ({ ...rig.at, grants: { writable: [gate()] } });

const calling = agent("calling", {
  model: async ({ messages }) => {
    const turn = messages.filter(({ role }) => role === "assistant").length;
    const name = ["one", "two"][turn];
    return name === undefined ? "Done." : { calls: [{ tool: "bash", input: { command: wait(name) } }] };
  },
  instruction: "Work.",
});
const body = agent("body", {
  body: async (_: undefined, ctx) => {
    for (const name of ["one", "two"]) await ctx.bash(wait(name));
    return "Done.";
  },
});
const scripted = () => {
  const file = join(rig.directory, "script.jsonl");
  const calls = ["one", "two"].map((name) => ({ call: [{ tool: "bash", input: { command: wait(name) } }] }));
  writeFileSync(file, [...calls, { say: "Done." }].map((turn) => JSON.stringify(turn)).join("\n"));
  return worker("agent", { model: `script:${file}` });
};

/** Commits of a run, in the order of sealing, and the bytes that its model was asked. */
async function recordOf(name: string): Promise<{ ids: string[]; asked: string[] }> {
  return withStore(rig.at.store, async (store) => {
    const { fold } = await readScope(store, name);
    const asked: string[] = [];
    for (const { intent } of fold.steps.values())
      if (intent.kind === "model") asked.push((await requestOf(store, intent.what!)).toString());
    return { ids: fold.sealed.map(({ sealed }) => sealed!.id), asked };
  });
}

test.each([
  ["the built-in agent here", () => calling.start(undefined, at())],
  ["a code body here", () => body.start(undefined, at())],
  ["the built-in agent in another process", () => scripted().start({ task: "Work." }, at())],
] as const)("%s", async (_name, start) => {
  const act = (name: string, run: string): Promise<Json> =>
    withStore(rig.at.store, (store) =>
      OPERATIONS[name]!.act(
        { store, name: run },
        {},
        { who: "boss", right: OPERATIONS[name]!.right },
        { signal: new AbortController().signal },
      ),
    );
  const look = async (run: string): Promise<void> => {
    await Promise.all(
      Array.from({ length: 5 }, () => ["observe", "snapshot", "replay"])
        .flat()
        .map((name) => act(name, run)),
    );
  };
  mkdirSync(gate());
  const alone = start() as Run<unknown>;
  for (const name of ["one", "two"]) {
    await begun(name);
    go(name);
  }
  await alone.result;
  rmSync(gate(), { recursive: true });
  mkdirSync(gate());
  const watched = start() as Run<unknown>;
  const run = await watched.scope;
  await begun("one");
  let asked = 0;
  const asking = watched.gate(() => {
    asked++;
    return "allow";
  });
  await asking.attached;
  await look(run);
  await act("pause", run);
  go("one");
  await look(run);
  await act("resume", run);
  await begun("two");
  await look(run);
  go("two");
  expect(await watched.result).toBe("Done.");
  expect(asked).toBe(1);
  const [was, is] = [await recordOf(await alone.scope), await recordOf(run)];
  expect(was.ids.length).toBeGreaterThan(3);
  expect(is).toEqual(was);
});
