import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { Plugin } from "../plugins/plugin.ts";
import { PLUGINS } from "../plugins/plugins.ts";
import { requireProgram } from "./coding.ts";
import { makeOutput } from "./output.ts";

vi.mock("../scope/exec/abilities.ts", () => ({
  detect: async () => {
    throw new Error("No more processes can be started.");
  },
}));

const sample = { name: "sample", command: "sample", detect: async () => null } as unknown as Plugin;
beforeAll(() => void PLUGINS.push(sample));
afterAll(() => void PLUGINS.pop());

test("what cannot be found out of this machine, beside a program that is not there, does not end the process", async () => {
  const unheard = vi.fn();
  process.once("unhandledRejection", unheard);
  const task = { worker: "plugin" as const, text: "x", plugin: { name: "sample", args: [], session: "s" } };
  await expect(requireProgram(makeOutput(true), task)).rejects.toThrow("There is no program sample on your PATH");
  await new Promise((resolve) => setTimeout(resolve));
  process.off("unhandledRejection", unheard);
  expect(unheard).not.toHaveBeenCalled();
});
