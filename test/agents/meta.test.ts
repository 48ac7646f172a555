/** Agents over the real coding agents: the program of the design, and what a supervisor can do with runs of theirs. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withStore } from "../../src/agent/stores.ts";
import { agent, inputs, runOf, worker } from "../../src/index.ts";
import { OPERATIONS } from "../../src/meta/operation.ts";
import { useCommand } from "../../src/run/child.ts";
import type { Json } from "../../src/trace/ports.ts";
import { built } from "../support/built.ts";
import type { Wire } from "../support/provider.ts";
import { until } from "../support/user.ts";
import * as claude from "./claude-rig.ts";
import * as codex from "./codex-rig.ts";
import type { AgentRig } from "./rig.ts";

let rig: AgentRig;
let gate: string;
const before = { ...process.env };
const NAMES = ["PATH", "HOME", "SHEPHERD_DIR"];

interface Kind {
  name: string;
  start(): Promise<AgentRig>;
  /** What the model says in the turns of a conversation: a command, or a word. `first`: what it was told first. */
  script(say: (turn: number, first: string) => { say: string; command?: string }): void;
}

const KINDS: Kind[] = [
  {
    name: "claude",
    start: () => claude.claudeRig(),
    script: (say) => {
      (rig as claude.Rig).other = (asked) => {
        const { say: words, command } = say(claude.turnsIn(asked), JSON.stringify(asked.json.messages));
        return { say: words, ...(command && { call: [["Bash", { command, description: "do it" }]] }) };
      };
    },
  },
  {
    name: "codex",
    start: () => codex.codexRig(),
    script: (say) => {
      (rig as codex.Rig).other = (asked, turn) => {
        const said = JSON.stringify(asked.json.input.filter(({ role }: Wire) => role === "user"));
        const { say: words, command } = say(turn, said);
        const tag = said.includes("Anew") ? "_b" : "";
        return { say: words, tag, ...(command && { call: [["exec_command", { cmd: command }]] }) };
      };
    },
  },
];

const at = () => ({ in: rig.project, store: rig.store, grants: { writable: [gate] } });
const go = (name: string): void => fs.writeFileSync(join(gate, name), "");
const wait = (name: string): string =>
  `touch ${gate}/${name}.begun; until [ -e ${gate}/${name} ]; do sleep 0.05; done; echo ${name} > ${name}.txt`;
const begun = (name: string): Promise<void> =>
  until(
    () => fs.existsSync(join(gate, `${name}.begun`)),
    () => `${name} has not begun`,
  );

describe.each(KINDS)("$name", (kind) => {
  beforeEach(async () => {
    rig = await kind.start();
    gate = join(rig.home, "gate");
    fs.mkdirSync(gate);
    fs.writeFileSync(join(rig.project, "a.txt"), "one\n");
    Object.assign(process.env, rig.env);
    useCommand(await built());
  });
  afterEach(async () => {
    for (const name of [...Object.keys(rig.env), ...NAMES])
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    await rig.end();
  });

  test("the boss finds that the worker has broken the tests, reverts it while it works, and what it does then lands", async () => {
    let reverted = false;
    kind.script((turn) => {
      if (turn === 0) return { say: "I write.", command: "echo good > login.txt" };
      if (turn === 1) return reverted ? { say: "Done." } : { say: "Better.", command: "echo bad > login.txt" };
      return turn === 2 && !reverted ? { say: "I wait.", command: wait("never") } : { say: "Done." };
    });
    const implement = worker(kind.name);
    const told: string[] = [];
    let asked = 0;
    const oversee = agent("oversee", {
      model: async ({ messages }) => {
        told.push(
          messages
            .at(-1)!
            .content.map((each) => (each.type === "text" ? each.text : ""))
            .join(""),
        );
        asked++;
        if (asked === 1) return { calls: [{ tool: "observe", input: { from: 1 } }] };
        const n = Number(/^(\d+) tool done .*echo good/m.exec(told[1]!)![1]);
        if (asked === 2) {
          reverted = true;
          return { calls: [{ tool: "revert", input: { n, why: "The second edit broke it." } }] };
        }
        return "Reverted to where it was good.";
      },
      input: inputs({ run: runOf(implement, "observe", "revert", "fork") }),
      instruction: "Watch the worker. If its tests break, revert to an earlier state and retry.",
    });
    await using run = implement.start({ task: "Implement the login." }, at());
    await begun("never");
    const boss = oversee.start({ run }, { in: rig.project, store: rig.store });
    expect(await boss.result).toBe("Reverted to where it was good.");
    expect(await run.result).toBe("Done.");
    const back = (await run.steps()).find((step) => step.kind === "revert")!;
    const shown = await rig.shepherd("show", await run.scope, String(back.n));
    expect(shown.stdout).toMatch(/^by {9}oversee \(right: revert\)$/m);
    expect(shown.stdout).toMatch(/^why {8}The second edit broke it\.$/m);
    await run.merge();
    expect(fs.readFileSync(join(rig.project, "login.txt"), "utf8")).toBe("good\n");
  });

  test("it is looked at, told, paused, forked, handed over, discarded and spawned by the table", async () => {
    kind.script((turn, first) => {
      if (first.includes("Anew")) return { say: "Anew it is." };
      if (first.includes("A task of its own"))
        return turn === 0 ? { say: "I see.", command: "cat one.txt > spawned.txt" } : { say: "Spawned." };
      if (turn === 0) return { say: "I begin.", command: wait("one") };
      if (turn === 1) return { say: "I go on.", command: wait("two") };
      return { say: first.includes("Be quick") ? "Quick." : "Done." };
    });
    const act = (name: string, on: string, input: { [name: string]: Json } = {}): Promise<Json> =>
      withStore(rig.store, (store) =>
        OPERATIONS[name]!.act(
          { store, name: on },
          input,
          { who: "boss", right: OPERATIONS[name]!.right, why: `for ${name}` },
          { signal: new AbortController().signal, may: async () => true },
        ),
      );
    const started = worker(kind.name).start({ task: "Work." }, at());
    const run = await started.scope;
    await begun("one");
    expect(await act("snapshot", run)).toMatchObject({ state: "running", task: "Work." });
    await act("pause", run);
    await act("inject", run, { text: "Be quick." });
    go("one");
    await act("resume", run);
    await begun("two");
    // It comes between two calls.
    const synced = act("sync", run);
    go("two");
    await synced;
    expect(await started.result).toBe("Quick.");
    expect((await act("replay", run)) as object).toMatchObject({ wrong: [] });
    const two = (await started.steps()).filter(({ kind }) => kind === "tool").at(-1)!;
    const forked = (await act("fork", run, { at: two.n, instruction: "Say it again." })) as { runs: string[] };
    // An agent that is told something only when it has done what it had to was not told it there.
    expect(await worker(kind.name).run(forked.runs[0]!, { store: rig.store }).result).toMatch(/^(Quick|Done)\.$/);
    const spawned = (await act("spawn", run, { worker: kind.name, task: "A task of its own", at: two.n })) as {
      spawned: string;
    };
    const other = worker(kind.name).run(spawned.spawned, { store: rig.store });
    expect(await other.result).toBe("Spawned.");
    expect((await rig.shepherd("cat", `${spawned.spawned}@`, "spawned.txt")).stdout).toBe("one\n");
    await act("handoff", run, { guidance: "Anew, please." });
    await act("resume", run);
    await until(
      async () => ((await act("snapshot", run)) as { state: string }).state === "done",
      () => "it does not end",
    );
    expect(await worker(kind.name).run(run, { store: rig.store }).result).toBe("Anew it is.");
    expect(await act("merge", forked.runs[0]!)).toMatchObject({ into: run });
    await act("discard", run);
    expect(await act("snapshot", run)).toMatchObject({ state: "discarded" });
  });

  test("a body calls it, and has its files", async () => {
    kind.script((turn) => (turn === 0 ? { say: "I write.", command: "cat a.txt > b.txt" } : { say: "Written." }));
    const both = agent("both", {
      body: async (_: undefined, ctx) => {
        const said = await ctx.call(worker(kind.name), { task: "write b" });
        return [said, (await ctx.bash("cat b.txt")).output];
      },
    });
    expect(await both.start(undefined, at()).result).toEqual(["Written.", "one\n"]);
  });
});
