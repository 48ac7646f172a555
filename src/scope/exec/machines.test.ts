/** The scope helper as a package holds it: the same bytes from the same sources, and one for each machine that is served. */
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { helperName, native, others } from "../../../scripts/native.mjs";
import { built } from "../../../test/support/built.ts";
import { findProgram } from "./tools.ts";
import { message, reader } from "./wire.ts";

let base: string;
beforeAll(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), "shepherd-machines-"));
});
afterAll(() => fs.rmSync(base, { recursive: true, force: true }));

test.skipIf(!findProgram("cc"))("built twice it is the same, byte for byte", async () => {
  const one = path.join(path.dirname(await built()), helperName);
  const two = path.join(base, "two");
  expect(native(two)).toBe(true);
  expect(fs.readFileSync(two).equals(fs.readFileSync(one))).toBe(true);
});

const cross = process.arch === "x64" && findProgram("aarch64-linux-gnu-gcc") !== null;
test.skipIf(!cross)("for arm64 it is built where the compiler is, and answers", async () => {
  expect(others(base)).toEqual(["arm64"]);
  const program = path.join(base, "shepherd-scope-arm64");
  expect(fs.readFileSync(program).subarray(0, 20).toString("hex")).toMatch(/^7f454c46020101.*b700$/);
  const qemu = findProgram("qemu-aarch64");
  if (!qemu) return console.log("not run: there is no qemu-aarch64 here");
  const words = [
    program,
    "serve",
    " ".repeat(15),
    String(process.pid),
    ...(process.getuid?.() === 0 ? [] : ["userns"]),
  ];
  const child = spawn(qemu, words, { cwd: "/", env: {} });
  const answers: string[][] = [];
  child.stdout.on(
    "data",
    reader((words) => answers.push(words)),
  );
  child.stdin.end(message(["7", "nonsense"]));
  expect(await new Promise((resolve) => child.once("close", resolve))).toBe(0);
  expect(answers[0]!.slice(0, 2)).toEqual(["0", "ready"]);
  expect(answers[1]!.slice(0, 2)).toEqual(["7", "error"]);
});
