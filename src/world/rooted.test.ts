import * as fs from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { inTemporary } from "../../test/support/trees.ts";
import { findIn, homeIn, resolveIn } from "./rooted.ts";

it("a path in a root comes to what a program in it would find, and to nothing outside", () =>
  inTemporary(async (dir) => {
    const root = join(dir, "root");
    fs.mkdirSync(join(root, "usr/lib"), { recursive: true });
    fs.writeFileSync(join(dir, "outside"), "");
    fs.writeFileSync(join(root, "usr/lib/file"), "");
    const links = {
      lib: "usr/lib",
      abs: "/usr/lib",
      up: "../../../../usr",
      out: dir,
      to: "abs/file",
      loop: "loop",
      self: ".",
      long: "x/".repeat(2000),
    };
    for (const [name, to] of Object.entries(links)) fs.symlinkSync(to, join(root, name));
    fs.symlinkSync("usr/caf\u00e9", join(root, "odd"));
    fs.mkdirSync(join(root, "usr/caf\u00e9"));
    for (const [path, found] of [
      ["/", "/"],
      ["/../..", "/"],
      ["/lib/file", "/usr/lib/file"],
      ["/abs/../lib/./file", "/usr/lib/file"],
      ["/up/lib/file", "/usr/lib/file"],
      ["/to", "/usr/lib/file"],
      ["/self/self/lib", "/usr/lib"],
      ["/usr/lib/file/", "/usr/lib/file"],
      ["/usr/lib/file/x", null],
      ["/out/outside", null],
      ["/../outside", null],
      ["/loop", null],
      ["/long", null],
    ] as const)
      expect([path, resolveIn(root, path)]).toEqual([path, found]);
    expect(fs.lstatSync(findIn(`${root}/`, "/odd")!).isDirectory()).toBe(true);
  }));

it("a home is what the root says of the user, if that can be read", () =>
  inTemporary(async (dir) => {
    fs.mkdirSync(join(dir, "etc"));
    expect(homeIn(dir, 0)).toBeNull();
    fs.writeFileSync(join(dir, "etc/passwd"), "a:x:7:7::relative:\nb:x:8:8::/home/b:/bin/sh\nbroken\n");
    expect([7, 8, 9].map((uid) => homeIn(dir, uid))).toEqual([null, "/home/b", null]);
    fs.rmSync(join(dir, "etc/passwd"));
    fs.symlinkSync("/etc/passwd", join(dir, "etc/passwd"));
    expect(homeIn(dir, 0)).toBeNull();
    fs.rmSync(join(dir, "etc/passwd"));
    fs.mkdirSync(join(dir, "etc/passwd"));
    expect(homeIn(dir, 0)).toBeNull();
  }));
