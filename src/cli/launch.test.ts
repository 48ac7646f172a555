import { setImmediate as soon } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { tempStore } from "../../test/support/temp-store.ts";
import { createRun } from "../run/start.ts";
import { NO_GRANTS } from "../scope/registry.ts";
import type { LiveScope } from "../scope/scope.ts";
import type { Frame } from "../trace/frame.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { startRun, tellSteps } from "./launch.ts";
import { makeOutput } from "./output.ts";

const closed = vi.hoisted(() => vi.fn(async () => {}));
vi.mock("./landing.ts", () => ({
  followLive: async () => ({ inbox: () => [], end: async () => "live", close: closed }),
}));
vi.mock("../run/start.ts", async (original) => ({
  ...(await original<typeof import("../run/start.ts")>()),
  beginRun: async (): Promise<number> => {
    throw new Error("It cannot begin.");
  },
}));

test("where a run cannot begin nothing that follows it goes on", async () => {
  const temp = await tempStore();
  const { store, directory } = temp;
  const task = { worker: "command" as const, text: "x", argv: ["true"] };
  await createRun(store, { task, workspace: { path: directory, id: "w" }, name: "fix", grants: NO_GRANTS });
  const lacks = { tell: () => {}, code: () => 0 as const };
  const { signal } = new AbortController();
  const launch = { store, out: makeOutput(true), signal, several: false, land: "live" as const, lacks };
  const main = new Promise<never>(() => {});
  await expect(startRun(launch, "fix", task, main)).rejects.toThrow("It cannot begin.");
  expect(closed).toHaveBeenCalledOnce();
  await temp.end();
});

test("a step that cannot be shown does not end the process while its run goes on", async () => {
  let seal = (_frame: Frame, _sealed: Step[]): void => {};
  const writer = {
    watch: (heard: typeof seal) => {
      seal = heard;
      return () => {};
    },
  };
  const store = {} as EmbeddedStore;
  const scope = { ref: { name: "fix" }, store, writer } as unknown as LiveScope;
  const steps = tellSteps({ store, out: makeOutput(true), several: false }, scope);
  const get = (): never => {
    throw new Error("It is damaged.");
  };
  const broken = new Proxy({} as Step, { get });
  seal({ phase: "outcome", n: 0, facts: { status: "done" } } as unknown as Frame, [broken]);
  await soon();
  await soon();
  // What comes behind it is shown all the same, or told as well.
  await expect(steps.done()).rejects.toThrow("It is damaged.");
  await expect(steps.done()).rejects.toThrow("It is damaged.");
});
