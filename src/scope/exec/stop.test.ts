import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import { whileStopped } from "./stop.ts";
import { readProcess } from "./table.ts";

const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});
async function sleeper(): Promise<number> {
  const child = spawn("sleep", ["100"]);
  started.push(child);
  await once(child, "spawn");
  return child.pid!;
}
const state = (pid: number): string | undefined => readProcess(pid)?.state;

test("they stand still while the work goes on, and those that did before still do afterwards", async () => {
  const [one, two] = [await sleeper(), await sleeper()];
  process.kill(two, "SIGSTOP");
  while (state(two) !== "T") await new Promise((resolve) => setTimeout(resolve, 1));
  const failed = whileStopped(
    async () => [one, two, 2 ** 22 + 1],
    async () => {
      expect([state(one), state(two)]).toEqual(["T", "T"]);
      throw new Error("the work failed");
    },
  );
  await expect(failed).rejects.toThrow("the work failed");
  while (state(one) === "T") await new Promise((resolve) => setTimeout(resolve, 1));
  expect(state(two)).toBe("T");
});

test("who starts another each time it is looked at does not hold up the work for ever", async () => {
  const pids: number[] = [];
  const list = async (): Promise<number[]> => {
    pids.push(await sleeper());
    return pids;
  };
  expect((await whileStopped(list, async () => "done")).done).toBe("done");
});

test("work that takes longer than they may stand still goes on without that, and says so", async () => {
  const one = await sleeper();
  const list = async (): Promise<number[]> => [one];
  const goesOn = async (): Promise<string> => {
    expect(state(one)).toBe("T");
    while (state(one) === "T") await new Promise((resolve) => setTimeout(resolve, 1));
    return "done";
  };
  expect(await whileStopped(list, goesOn, 5)).toEqual({ done: "done", held: false });
  const quick = async (): Promise<string | undefined> => state(one);
  expect(await whileStopped(list, quick, 60_000)).toEqual({ done: "T", held: true });
  while (state(one) === "T") await new Promise((resolve) => setTimeout(resolve, 1));
});
