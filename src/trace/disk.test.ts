import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, expect, test } from "vitest";
import { realDisk } from "./disk.ts";

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(`${tmpdir()}/shepherd-disk-`);
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

const bytes = Buffer.from("content");

test("a file is created once, or replaced, and nothing is left beside it", async () => {
  const path = `${directory}/file`;
  expect(realDisk.read(path)).toBeNull();
  expect(realDisk.open(path)).toBeNull();
  expect(await realDisk.create(path, bytes)).toBe(true);
  expect(await realDisk.create(path, Buffer.from("other"))).toBe(false);
  expect(realDisk.read(path)).toEqual(bytes);
  expect(await realDisk.create(path, Buffer.from("other"), { replace: true })).toBe(true);
  expect(String(realDisk.read(path))).toBe("other");
  expect(realDisk.list(directory)).toEqual(["file"]);
  expect(fs.statSync(path).mode & 0o777).toBe(0o600);
  realDisk.remove(path);
  realDisk.remove(path);
  expect(realDisk.list(directory)).toEqual([]);
  expect(realDisk.list(`${directory}/none`)).toEqual([]);
});

test("of many who create a file one does", async () => {
  const made = await Promise.all(
    Array.from({ length: 20 }, (_, i) => realDisk.create(`${directory}/file`, Buffer.from(`${i}`))),
  );
  expect(made.filter(Boolean)).toHaveLength(1);
  expect(String(realDisk.read(`${directory}/file`))).toBe(String(made.indexOf(true)));
  expect(realDisk.list(directory)).toEqual(["file"]);
});

test("what cannot be created leaves nothing behind, and is told in a sentence", async () => {
  fs.mkdirSync(`${directory}/file`);
  await expect(realDisk.create(`${directory}/file`, bytes, { replace: true })).rejects.toThrow(/\.$/);
  expect(realDisk.list(directory)).toEqual(["file"]);
  await expect(realDisk.create(`${directory}/none/file`, bytes)).rejects.toThrow(/There is no directory for/);
});

test("directories are made with all above them, for their owner alone, and a link is none", () => {
  realDisk.mkdir(`${directory}/a/b/c`);
  realDisk.mkdir(`${directory}/a/b/c`);
  realDisk.mkdir(`${directory}/a/b/c/.`);
  expect(fs.statSync(`${directory}/a/b/c`).mode & 0o777).toBe(0o700);
  fs.symlinkSync(`${directory}/a`, `${directory}/link`);
  fs.symlinkSync(`${directory}/none`, `${directory}/dangling`);
  fs.writeFileSync(`${directory}/file`, "");
  for (const name of ["link", "dangling", "file", "file/below"])
    expect(() => realDisk.mkdir(`${directory}/${name}`)).toThrow(/is not what a store has there/);
});

test("a file is appended to at its end, whoever else appends", async () => {
  const path = `${directory}/file`;
  await realDisk.create(path, bytes);
  const [a, b] = [realDisk.open(path)!, realDisk.open(path)!];
  a.append(Buffer.from(" a"));
  b.append(Buffer.from(" b"));
  a.append(Buffer.from(" c"));
  expect(String(a.read(0, 100))).toBe("content a b c");
  expect(String(b.read(8, 3))).toBe("a b");
  expect(b.read(100, 5)).toHaveLength(0);
  a.overwrite(0, Buffer.from("CON"));
  expect(String(b.read(0, 7))).toBe("CONtent");
  b.truncate(7);
  expect(a.size()).toBe(7);
  await a.sync();
});

test("a closed file is not used any more, also where its number belongs to another by now", async () => {
  const path = `${directory}/file`;
  await realDisk.create(path, bytes);
  const file = realDisk.open(path)!;
  file.close();
  file.close();
  const other = `${directory}/other`;
  await realDisk.create(other, bytes);
  const later = realDisk.open(other)!;
  expect(() => file.append(bytes)).toThrow(/is closed/);
  expect(() => file.read(0, 1)).toThrow(/is closed/);
  expect(() => file.truncate(0)).toThrow(/is closed/);
  await expect(file.sync()).rejects.toThrow(/is closed/);
  expect(later.size()).toBe(bytes.length);
  later.close();
});

test.runIf(process.platform === "linux")(
  "a file that is closed during a sync stays open until that is done",
  async () => {
    const path = `${directory}/file`;
    await realDisk.create(path, bytes);
    const isOpen = (): boolean =>
      fs.readdirSync("/proc/self/fd").some((fd) => {
        try {
          return fs.readlinkSync(`/proc/self/fd/${fd}`) === path;
        } catch {
          return false;
        }
      });
    const file = realDisk.open(path)!;
    const syncing = [file.sync(), file.sync()];
    file.close();
    expect(isOpen()).toBe(true);
    await Promise.all(syncing);
    expect(isOpen()).toBe(false);
  },
);

test("a file that was replaced is not overwritten", async () => {
  const path = `${directory}/file`;
  await realDisk.create(path, bytes);
  const file = realDisk.open(path)!;
  await realDisk.create(path, bytes, { replace: true });
  expect(() => file.overwrite(0, Buffer.from("x"))).toThrow(/was replaced/);
  expect(realDisk.read(path)).toEqual(bytes);
  file.close();
});
