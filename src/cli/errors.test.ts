import { spawnSync } from "node:child_process";
import fs from "node:fs";
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

test("files that went with the helper are told as its end", () => {
  let error: unknown;
  try {
    fs.statSync("/proc/4194305/root/store/cache/work/x/workspace");
  } catch (thrown) {
    error = thrown;
  }
  expect(explain(error)).toMatchObject({ code: 1, message: expect.stringContaining("go on with `shepherd resume`.") });
});

test("a full disk is told as such, also where the files of a run lie in the helper's mounts", () => {
  const error = Object.assign(new Error("ENOSPC: no space left on device, mkdir '/proc/77/root/store/work/x/made'"), {
    code: "ENOSPC",
  });
  expect(explain(error)).toMatchObject({ code: 4, message: expect.stringMatching(/^The disk is full\. /) });
});
