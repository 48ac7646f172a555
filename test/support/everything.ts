/** A tree with one of everything that a driver must be able to set back, and what may happen to it. Paths are byte strings. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { MAX_OBJECT } from "../../src/trace/ports.ts";
import { move } from "./move.ts";
import { isRoot, NAMES, wipe } from "./trees.ts";

const b = (bytes: string): Buffer => Buffer.from(bytes, "latin1");

/** Makes it in `root`, an empty directory. Whatever is not a file, link or directory is in no state. */
export function makeEverything(root: string): void {
  const dir = (path: string, mode = 0o755): void => {
    fs.mkdirSync(b(`${root}/${path}`), { recursive: true });
    fs.chmodSync(b(`${root}/${path}`), mode);
  };
  const file = (path: string, content: string | Uint8Array, mode = 0o644): void => {
    if (path.includes("/")) fs.mkdirSync(b(`${root}/${path.slice(0, path.lastIndexOf("/"))}`), { recursive: true });
    fs.writeFileSync(b(`${root}/${path}`), typeof content === "string" ? b(content) : content);
    fs.chmodSync(b(`${root}/${path}`), mode);
  };
  const link = (path: string, target: string): void => fs.symlinkSync(b(target), b(`${root}/${path}`));
  const touch = (path: string, seconds: string): void => fs.lutimesSync(b(`${root}/${path}`), "1", seconds);

  file("plain", "text\n");
  file("empty file", "");
  file(
    "binary",
    Uint8Array.from({ length: 4096 }, (_, i) => i & 255),
  );
  file("one object", Buffer.alloc(MAX_OBJECT, 7));
  file("two objects", Buffer.alloc(MAX_OBJECT + 1, 8));
  fs.writeFileSync(b(`${root}/sparse`), "");
  fs.truncateSync(b(`${root}/sparse`), 5 << 20);
  fs.appendFileSync(b(`${root}/sparse`), "end");
  for (const mode of [0o755, 0o700, 0o600, 0o400, ...(isRoot ? [0o000, 0o111, 0o4755, 0o6711] : [])])
    file(`modes/${mode.toString(8)}`, "x", mode);
  for (const mode of [0o700, 0o2775, 0o1777]) dir(`modes/dir ${mode.toString(8)}`, mode);
  link("dangling", "nowhere");
  link("absolute", "/etc/passwd");
  link("to a directory", "modes");
  link("outwards", "../../..");
  link("itself", "itself");
  dir("nothing/nothing/nothing");
  dir("twins");
  file("twins/one", "the same\n");
  fs.linkSync(b(`${root}/twins/one`), b(`${root}/twins/other`));
  for (const [i, name] of NAMES.entries()) if (name !== ".git") file(`names/${name}`, `${i}`);
  dir(`names/dir\n${"n".repeat(250)}`);
  dir(Array.from({ length: 60 }, (_, i) => `d${i}`).join("/"));
  for (let i = 0; i < 200; i++) file(`many/${i}`, `${i}\n`);
  file(".env", "TOKEN=x\n", 0o600);
  file(".gitignore", "node_modules\nbuild\n");
  file("node_modules/.bin/tool", "#!/bin/sh\n", 0o755);
  file("node_modules/pkg/index.js", "ignored\n");
  file("build/out.o", "\0\x01");
  file("untracked", "new\n");
  for (const [at, text] of [
    ["", "outer"],
    ["nested/", "nested"],
    ["nested/deeper/", "deeper"],
  ]) {
    file(`${at}.git/HEAD`, `ref: refs/heads/${text}\n`);
    file(`${at}.git/hooks/pre-commit`, "#!/bin/sh\n", 0o755);
    file(`${at}.git/objects/ab/cd`, "object", 0o444);
    dir(`${at}.git/refs/heads`);
  }
  file("nested/tracked", "of the nested one\n");
  file("worktree/.git", "gitdir: ../.git/worktrees/worktree\n");
  file(".git/worktrees/worktree/gitdir", "../../../worktree/.git\n");
  file("submodule/.git", "gitdir: ../.git/modules/submodule\n");
  file(".git/modules/submodule/HEAD", "ref: refs/heads/main\n");
  file(".git/modules/submodule/.git/odd", "within\n");
  execFileSync("mkfifo", [`${root}/fifo`]);
  for (const [path, seconds] of Object.entries({
    plain: "0",
    binary: "-1234.5",
    sparse: "4102444800.123456",
    dangling: "1000000000.000001",
    "nothing/nothing": "86400",
    ".git/HEAD": "1111111111.1",
    twins: "999",
  }))
    touch(path, seconds);
}

const fresh = (root: string, path: string, content: string): void => {
  wipe(`${root}/${path}`);
  fs.writeFileSync(b(`${root}/${path}`), content);
};

/** By name, what is done in a directory that holds everything. `outside` lies beside it, and must never be touched. */
export const CHANGES: { [name: string]: (root: string, outside: string) => void } = {
  nothing: () => {},
  "all is deleted": (root) => {
    for (const name of fs.readdirSync(root, "latin1")) wipe(`${root}/${name}`);
  },
  "all files become directories": (root) => {
    for (const name of ["plain", "dangling", "twins/one", "fifo", "names/a", "submodule/.git"]) {
      wipe(`${root}/${name}`);
      fs.mkdirSync(`${root}/${name}/inner`, { recursive: true });
      fs.writeFileSync(`${root}/${name}/inner/file`, name);
    }
  },
  "directories become files": (root) => {
    for (const name of ["modes", "names", "nothing/nothing", "many", "nested/.git"]) fresh(root, name, "was one");
  },
  "directories become links out of the tree": (root, outside) => {
    for (const name of ["modes", "many", "nested", ".git"]) {
      wipe(`${root}/${name}`);
      fs.symlinkSync(outside, `${root}/${name}`);
    }
  },
  "files become other names of files outside": (root, outside) => {
    for (const name of ["plain", "many/1", ".git/HEAD"]) {
      wipe(`${root}/${name}`);
      try {
        fs.linkSync(`${outside}/f`, `${root}/${name}`);
      } catch (error) {
        // Where layers are seen as one directory no link leads out of it.
        if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
        fs.copyFileSync(`${outside}/f`, `${root}/${name}`);
      }
    }
  },
  "links become what they lead to": (root) => {
    for (const name of ["dangling", "absolute", "itself"]) fresh(root, name, "a file");
    wipe(`${root}/to a directory`);
    fs.mkdirSync(`${root}/to a directory`);
  },
  "a file is overwritten in place, its size and time kept": (root) => {
    for (const name of ["plain", "many/7", "twins/one", ".git/objects/ab/cd"]) {
      const path = `${root}/${name}`;
      const { mtimeMs, size, mode } = fs.statSync(path);
      fs.chmodSync(path, 0o644);
      const fd = fs.openSync(path, "r+");
      fs.writeSync(fd, Buffer.alloc(size, "z"));
      fs.futimesSync(fd, 1, mtimeMs / 1000);
      fs.closeSync(fd);
      fs.chmodSync(path, mode);
    }
  },
  "a byte of a large file changes, a hole is filled, another is cut": (root) => {
    for (const [name, at] of [
      ["two objects", MAX_OBJECT],
      ["sparse", 1 << 20],
      ["one object", 0],
    ] as const) {
      const fd = fs.openSync(`${root}/${name}`, "r+");
      fs.writeSync(fd, Buffer.from("!"), 0, 1, at);
      fs.closeSync(fd);
    }
    fs.truncateSync(`${root}/sparse`, 3 << 20);
  },
  "modes change, of directories too": (root) => {
    execFileSync("chmod", ["-R", "u+rwX,go-rwx", root]);
    fs.chmodSync(root, 0o711);
  },
  "times change": (root) => {
    for (const name of ["", "plain", "modes", ".git/HEAD", "dangling"]) fs.lutimesSync(`${root}/${name}`, 5, 5);
  },
  "everything moves one level down": (root) => {
    const names = fs.readdirSync(root, "latin1");
    fs.mkdirSync(`${root}/down`);
    for (const name of names) move(`${root}/${name}`, `${root}/down/${name}`);
  },
  "two trees change places": (root) => {
    move(`${root}/modes`, `${root}/between`);
    move(`${root}/nested`, `${root}/modes`);
    move(`${root}/between`, `${root}/nested`);
  },
  "the repositories are deleted": (root) => {
    for (const name of [".git", "nested/.git", "nested/deeper/.git"]) wipe(`${root}/${name}`);
  },
  "a repository comes where there was none": (root) => {
    fs.mkdirSync(`${root}/many/.git/refs`, { recursive: true });
    fs.writeFileSync(`${root}/many/.git/HEAD`, "new\n");
  },
  "empty directories go, and come": (root) => {
    wipe(`${root}/nothing`);
    fs.mkdirSync(`${root}/none/none`, { recursive: true });
  },
  "a hard link is cut": (root) => fresh(root, "twins/other", "another\n"),
};
