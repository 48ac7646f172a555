import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, type Rig } from "../../../test/support/agent-rig.ts";
import { until } from "../../../test/support/user.ts";
import { performCommand } from "../../run/command.ts";
import { operate } from "../../run/operate.ts";
import { take } from "../../run/take.ts";
import { forkScope } from "../../scope/fork.ts";
import type { ScopeRef } from "../../scope/registry.ts";
import { Busy } from "../../scope/scope.ts";
import { readScope } from "../../scope/view.ts";
import { type Holds, makeHolds } from "./holds.ts";

let rig: Rig;
let stop: AbortController;
const made: Holds[] = [];
beforeEach(async () => {
  rig = await agentRig({ "a.txt": "a\n" });
  stop = new AbortController();
  await (await rig.start()).close();
});
afterEach(async () => {
  stop.abort();
  for (const holds of made.splice(0)) await holds.close();
  await rig.end();
});

const holding = (options: Parameters<typeof makeHolds>[3]): Holds => {
  const holds = makeHolds(rig.store, stop.signal, (work) => work(), options);
  made.push(holds);
  return holds;
};
const runIn = (holds: Holds, run: ScopeRef, ...argv: string[]): Promise<number> =>
  holds.perform(run, async (scope, signal) => (await performCommand(scope, argv, signal)).n);
const isHeld = async ({ log }: ScopeRef): Promise<boolean> => (await rig.store.leases.holder(`log/${log}`)) !== null;

test("of too many the one goes that was used longest ago and has nothing to do; one goes after its time", async () => {
  const runs = await forkScope(rig.store, "fix", 0, { count: 3 });
  const holds = holding({ most: 2 });
  for (const run of runs) expect(await runIn(holds, run, "true")).toBe(1);
  await until(async () => !(await isHeld(runs[0]!)));
  expect(await Promise.all(runs.map(isHeld))).toEqual([false, true, true]);
  // One that is at work stays, whatever its age.
  let end = (): void => {};
  const long = holds.perform(runs[1]!, () => new Promise<void>((resolve) => (end = resolve)));
  await runIn(holds, runs[0]!, "true");
  await until(async () => !(await isHeld(runs[2]!)));
  expect(await isHeld(runs[1]!)).toBe(true);
  end();
  await long;
  const soon = holding({ keep: 10 });
  await runIn(soon, runs[2]!, "true");
  await until(async () => !(await isHeld(runs[2]!)));
});

test("whoever takes a held run, or does something to it as a whole, meanwhile: each job is done once, in its order", async () => {
  const holds = holding({});
  const [run] = (await forkScope(rig.store, "fix", 0)) as [ScopeRef];
  const count = process.env.SHEPHERD_LONG ? 60 : 8;
  const numbers: number[] = [];
  // One that is refused was not begun.
  const done = (i: number): Promise<number> =>
    runIn(holds, run, "sh", "-c", `echo ${i} >> all`).catch((error: unknown) => {
      if (error instanceof Busy) return done(i);
      throw error;
    });
  for (let i = 0; i < count; i++) {
    const others = [
      take(rig.store, run.name).then(
        (scope) => scope.close(),
        (error: unknown) => expect(error).toBeInstanceOf(Busy),
      ),
      operate(rig.store, run.name, "note", { n: null, facts: { note: "beside" } }),
    ];
    numbers.push(await done(i));
    await Promise.all(others);
  }
  expect(numbers).toEqual(Array.from({ length: count }, (_, i) => i + 1));
  const { fold } = await readScope(rig.store, run.name);
  expect([...fold.steps.values()].map(({ n, outcome }) => [n, outcome?.status])).toEqual(
    numbers.map((n) => [n, "done"]),
  );
});

test("a job that throws ends nothing; what waits when the server ends is told so, and not begun", async () => {
  const holds = holding({});
  const [run] = (await forkScope(rig.store, "fix", 0)) as [ScopeRef];
  await expect(holds.perform(run, () => Promise.reject(new Error("odd")))).rejects.toThrow("odd");
  expect(await runIn(holds, run, "true")).toBe(1);
  const running = holds.perform(run, async (scope, signal) => {
    const onOutput = () => stop.abort(new Error("the end"));
    return (await performCommand(scope, ["sh", "-c", "echo; sleep 1000"], signal, { onOutput })).ending;
  });
  const waiting = expect(runIn(holds, run, "true")).rejects.toThrow("the end");
  expect(await running).toBe("aborted");
  await waiting;
  await holds.close();
  expect(await isHeld(run)).toBe(false);
  expect((await readScope(rig.store, run.name)).fold.steps.size).toBe(2);
});
