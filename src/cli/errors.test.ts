import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { NoTool } from "../scope/exec/tools.ts";
import { explain } from "./errors.ts";

test("a program that lacks makes the host unfit, and is named", () => {
  expect(explain(new NoTool("The program x is needed."))).toEqual({ code: 4, message: "The program x is needed." });
  expect(explain(spawnSync("no-such-program").error)).toEqual({
    code: 4,
    message: "The program no-such-program is needed and cannot be run (ENOENT): is it on the PATH?",
  });
});
