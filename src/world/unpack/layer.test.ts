import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Entry, tarOf } from "../../../test/support/image.ts";
import { inTemporary } from "../../../test/support/trees.ts";
import { filesOf } from "../../../test/support/user.ts";
import { startUnpacking, type Unpacked } from "./layer.ts";

async function* whole(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

async function unpack(root: string, ...layers: Entry[][]): Promise<Unpacked> {
  const unpacking = startUnpacking(root);
  for (const layer of layers) await unpacking.add(whole(tarOf(layer)), { whiteouts: true });
  return unpacking.finish();
}

/** A root beside something that is none of its business. */
const inRoot = (body: (root: string, outside: string) => Promise<void>): Promise<void> =>
  inTemporary(async (dir) => {
    const [root, outside] = [join(dir, "root"), join(dir, "outside")];
    fs.mkdirSync(root);
    fs.mkdirSync(join(outside, "sub"), { recursive: true });
    fs.writeFileSync(join(outside, "file"), "theirs");
    fs.writeFileSync(join(outside, "sub/file"), "theirs");
    fs.chmodSync(join(outside, "sub"), 0o751);
    await body(root, outside);
    expect(filesOf(outside)).toEqual({ file: "theirs", "sub/file": "theirs" });
    expect(fs.statSync(join(outside, "sub")).mode & 0o777).toBe(0o751);
    expect(fs.readdirSync(dir).sort()).toEqual(["outside", "root"]);
  });

const dir = (path: string, mode = 0o755): Entry => ({ path, flag: "5", mode });
const link = (path: string, target: string): Entry => ({ path, flag: "2", target });
const hard = (path: string, target: string): Entry => ({ path, flag: "1", target });

describe("layers", () => {
  it("lie one over the other: the later one's files, links and modes, and what it takes away", () =>
    inRoot(async (root) => {
      await unpack(
        root,
        [
          dir("a/"),
          { path: "a/x", content: "1" },
          { path: "a/y", content: "1" },
          dir("b/"),
          { path: "b/z", content: "1" },
          link("c", "a"),
        ],
        [
          { path: "a/x", content: "2", mode: 0o4755 },
          { path: "a/.wh.y" },
          { path: "b", content: "a file now" },
          dir("c/"),
          { path: "c/in", content: "2" },
          { path: ".wh.nothing" },
          { path: "gone/too/.wh.x" },
        ],
      );
      expect(filesOf(root)).toEqual({ "a/x": "2", b: "a file now", "c/in": "2" });
      expect(fs.statSync(join(root, "a/x")).mode & 0o7777).toBe(0o4755);
      expect(fs.existsSync(join(root, "gone"))).toBe(false);
    }));

  it("hide all that lies below an opaque directory, and nothing that they have in it themselves, in whatever order", () =>
    inRoot(async (root) => {
      await unpack(
        root,
        [
          { path: "d/old", content: "1" },
          { path: "d/sub/old", content: "1" },
          { path: "d/both/old", content: "1" },
          { path: "e/old", content: "1" },
        ],
        [
          { path: "d/both/new", content: "2" },
          { path: "d/new", content: "2" },
          { path: "d/.wh..wh..opq" },
          { path: "d/later", content: "2" },
          { path: "d/.wh.new" },
        ],
      );
      expect(filesOf(root)).toEqual({ "d/both/new": "2", "d/new": "2", "d/later": "2", "e/old": "1" });
    }));

  it("have files of several names, through links as the image's own programs would find them", () =>
    inRoot(async (root) => {
      await unpack(root, [
        dir("usr/lib/"),
        link("lib", "usr/lib"),
        link("abs", "/usr/lib"),
        link("up", "../../../usr/lib"),
        { path: "lib/one", content: "shared" },
        hard("usr/two", "abs/one"),
        { path: "up/three", content: "3" },
      ]);
      expect(fs.statSync(join(root, "usr/two")).ino).toBe(fs.statSync(join(root, "usr/lib/one")).ino);
      expect(fs.readFileSync(join(root, "usr/lib/three"), "utf8")).toBe("3");
    }));

  it("may have directories that nobody may write to, with something in them", () =>
    inRoot(async (root) => {
      await unpack(
        root,
        [dir("locked/", 0o500), { path: "locked/x", content: "1" }, dir("./", 0o755)],
        [{ path: "locked/y", content: "2" }],
      );
      expect(fs.statSync(join(root, "locked")).mode & 0o777).toBe(0o500);
      expect(fs.statSync(join(root, "locked")).mtimeMs).toBe(1_600_000_000_000);
      expect(filesOf(root)).toEqual({ "locked/x": "1", "locked/y": "2" });
    }));

  it("have no devices and no pipes, which are counted", () =>
    inRoot(async (root) => {
      const done = await unpack(root, [
        { path: "sda", flag: "4" },
        { path: "dev/null", flag: "3" },
        { path: "null", flag: "3" },
        { path: "pipe", flag: "6" },
        { path: "x" },
      ]);
      expect(done).toEqual({ entries: 5, leftOut: 3 });
      expect(filesOf(root)).toEqual({ x: "" });
    }));

  it.runIf(process.getuid?.() === 0)("keep who owns what, for root", () =>
    inRoot(async (root) => {
      await unpack(root, [
        { path: "s", uid: 5, gid: 6, mode: 0o6755 },
        { ...link("l", "s"), uid: 7, gid: 8 },
        { ...dir("d/"), uid: 9, gid: 10 },
      ]);
      const owners = ["s", "l", "d"].map((name) => fs.lstatSync(join(root, name))).map(({ uid, gid }) => [uid, gid]);
      expect(owners).toEqual([
        [5, 6],
        [7, 8],
        [9, 10],
      ]);
      expect(fs.statSync(join(root, "s")).mode & 0o7777).toBe(0o6755);
    }),
  );
});

describe("an archive that wants out", () => {
  it.each<[string, (outside: string) => Entry[], RegExp | null]>([
    ["by names", () => [{ path: "../outside/file", content: "theirs no more" }], /leads out of the image/],
    [
      "by names in the midst",
      () => [dir("a/"), { path: "a/../../outside/file", content: "no" }],
      /leads out of the image/,
    ],
    ["by an absolute path", (outside) => [{ path: `${outside}/file`, content: "no" }], null],
    ["through a link", (outside) => [link("l", outside), { path: "l/file", content: "no" }], null],
    ["through a relative link", () => [link("l", "../outside"), { path: "l/file", content: "no" }], null],
    [
      "through links of links",
      () => [link("a", ".."), link("b", "a/outside"), { path: "b/sub/file", content: "no" }],
      null,
    ],
    [
      "by another name of a file outside",
      (outside) => [link("l", outside), hard("h", "l/file"), { path: "h", content: "no" }],
      /is no file/,
    ],
    ["by a hard link up", () => [hard("h", "../outside/file"), { path: "h", content: "no" }], /leads out of the image/],
    ["over a link to a file", (outside) => [link("l", `${outside}/file`), { path: "l", content: "no" }], null],
    [
      "over a hard link to a link",
      (outside) => [link("l", `${outside}/file`), hard("h", "l"), { path: "h", content: "no" }],
      null,
    ],
    ["by the mode of a directory", (outside) => [link("l", `${outside}/sub`), dir("l/", 0o777)], null],
    [
      "by a directory that becomes a link",
      (outside) => [dir("d/", 0o777), link("d", `${outside}/sub`), { path: "d/file", content: "no" }],
      null,
    ],
    ["by taking away", (outside) => [link("l", outside), { path: "l/.wh.file" }, { path: "l/.wh..wh..opq" }], null],
    ["by taking away what is above", () => [{ path: ".wh..." }], /names nothing/],
    ["by links that lead to each other", () => [link("a", "b"), link("b", "a"), { path: "a/x" }], /Too many links/],
    ["by a path of its own root", () => [link(".", "/"), { path: "./x", content: "1" }], null],
  ])("gets nowhere: %s", (_, entries, refused) =>
    inRoot(async (root, outside) => {
      const done = unpack(root, entries(outside));
      if (refused) await expect(done).rejects.toThrow(refused);
      else await done.catch((error: Error) => expect(error.message).toMatch(/no directory|cannot be unpacked/));
    }),
  );

  it("is refused where a path is longer, or a tree has more entries, than anybody means", () =>
    inRoot(async (root) => {
      const long = Buffer.from(`path=${"a/".repeat(3000)}x`);
      const record = `${long.length + 6} ${long}\n`;
      await expect(unpack(root, [{ path: "x", flag: "x", content: record }, { path: "y" }])).rejects.toThrow(
        "more than 4096 bytes",
      );
      const three = tarOf([{ path: "a" }, { path: "b" }, { path: "c" }]);
      await expect(startUnpacking(root, 2).add(whole(three))).rejects.toThrow("There are more than 2 entries in it.");
    }));
});
