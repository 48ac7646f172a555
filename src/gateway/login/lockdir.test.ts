import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { takeLock } from "./lockdir.ts";

/** What another process does just before a lock is moved aside. */
let meanwhile = (): void => {};
vi.mock("node:fs", async (original) => {
  const real = await original<typeof fs>();
  const renameSync: typeof fs.renameSync = (from, to) => {
    meanwhile();
    meanwhile = () => {};
    real.renameSync(from, to);
  };
  return { ...real, renameSync };
});

let directory = "";
let path = "";
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "lockdir-"));
  path = join(directory, "lock");
});
afterEach(() => {
  vi.useRealTimers();
  fs.rmSync(directory, { recursive: true, force: true });
});

const leaveOver = (): void => {
  fs.mkdirSync(path);
  const old = new Date(Date.now() - 61_000);
  fs.utimesSync(path, old, old);
};
const takeAnew = (): void => {
  fs.rmdirSync(path);
  fs.mkdirSync(path);
};

test("one holds it until it is given back, or nobody has touched it for a minute", () => {
  const release = takeLock(path);
  expect(takeLock(path)).toBe(null);
  release!();
  leaveOver();
  const again = takeLock(path);
  expect(takeLock(path)).toBe(null);
  again!();
  expect(fs.readdirSync(directory)).toEqual([]);
});

test("of several that find it left over one has it, also where it was quicker than the others' look", () => {
  leaveOver();
  meanwhile = takeAnew;
  expect(takeLock(path)).toBe(null);
  expect(fs.readdirSync(directory)).toEqual(["lock"]);
});

test("that of another, who took it for left over, is neither touched nor given back", () => {
  vi.useFakeTimers();
  const release = takeLock(path);
  vi.advanceTimersByTime(5000);
  takeAnew();
  const theirs = new Date(Date.now() - 30_000);
  fs.utimesSync(path, theirs, theirs);
  vi.advanceTimersByTime(10_000);
  expect(fs.statSync(path).mtime).toEqual(theirs);
  release!();
  expect(fs.existsSync(path)).toBe(true);
});
