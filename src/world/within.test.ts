import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { inTemporary } from "../../test/support/trees.ts";
import { readWithin, removeWithin, sizeWithin, writeWithin } from "./within.ts";

const PATH = "projects/p/session.jsonl";

/** A directory with a file at PATH, beside another that nobody in it may reach. */
const withBoth = (body: (root: string, outside: string) => void | Promise<void>) =>
  inTemporary(async (place) => {
    const [root, outside] = [join(place, "root"), join(place, "outside")];
    fs.mkdirSync(join(outside, "p"), { recursive: true });
    fs.writeFileSync(join(outside, "session.jsonl"), "secret");
    fs.writeFileSync(join(outside, "p", "session.jsonl"), "secret");
    fs.mkdirSync(join(root, "projects", "p"), { recursive: true });
    fs.writeFileSync(join(root, PATH), "mine");
    await body(root, outside);
  });

const swap = (path: string, to: string): void => {
  fs.rmSync(path, { recursive: true });
  fs.symlinkSync(to, path);
};

test("a file is read, measured, replaced, removed, and made with its directories", () =>
  withBoth((root) => {
    expect(readWithin(root, PATH)!.toString()).toBe("mine");
    expect(sizeWithin(root, PATH)).toBe(4);
    writeWithin(root, PATH, Buffer.from("new"));
    expect(readWithin(root, PATH)!.toString()).toBe("new");
    expect(fs.readdirSync(join(root, "projects", "p"))).toEqual(["session.jsonl"]);
    removeWithin(root, PATH);
    removeWithin(root, PATH);
    removeWithin(root, "no/such/file");
    expect(readWithin(root, PATH)).toBe(null);
    expect(sizeWithin(root, "no/such/file")).toBe(null);
    writeWithin(root, "ä/b/c", Buffer.from("deep"));
    expect(fs.readFileSync(join(root, "ä/b/c"), "utf8")).toBe("deep");
  }));

describe("where a program has put a link, nothing outside is read, written or removed", () => {
  test.each([
    ["in place of the file", (root: string, outside: string) => swap(join(root, PATH), join(outside, "session.jsonl"))],
    ["in place of its directory", (root: string, outside: string) => swap(join(root, "projects", "p"), outside)],
    ["in place of one further up", (root: string, outside: string) => swap(join(root, "projects"), outside)],
  ])("%s", async (_, put) => {
    const untouched = (outside: string): void => {
      for (const path of ["session.jsonl", "p/session.jsonl"])
        expect(fs.readFileSync(join(outside, path), "utf8")).toBe("secret");
    };
    await withBoth((root, outside) => {
      put(root, outside);
      expect(readWithin(root, PATH)).toBe(null);
      expect(sizeWithin(root, PATH)).toBe(null);
      removeWithin(root, PATH);
      untouched(outside);
    });
    await withBoth((root, outside) => {
      put(root, outside);
      writeWithin(root, PATH, Buffer.from("ours"));
      expect(fs.readFileSync(join(root, PATH), "utf8")).toBe("ours");
      untouched(outside);
    });
  });
});

test("what is no file counts as none, and makes way", () =>
  withBoth((root) => {
    const path = join(root, PATH);
    fs.rmSync(path);
    execFileSync("mkfifo", [path]);
    expect([readWithin(root, PATH), sizeWithin(root, PATH)]).toEqual([null, null]);
    removeWithin(root, PATH);
    fs.mkdirSync(join(path, "below"), { recursive: true });
    expect([readWithin(root, PATH), sizeWithin(root, PATH)]).toEqual([null, null]);
    writeWithin(root, PATH, Buffer.from("x"));
    expect(readWithin(root, PATH)!.toString()).toBe("x");
    fs.truncateSync(path, 2 ** 33);
    expect(readWithin(root, PATH)).toBe(null);
  }));
