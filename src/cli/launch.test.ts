import { setImmediate as soon } from "node:timers/promises";
import { expect, test } from "vitest";
import type { LiveScope } from "../scope/scope.ts";
import type { Frame } from "../trace/frame.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { tellSteps } from "./launch.ts";
import { makeOutput } from "./output.ts";

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
