import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import {
  type Bench,
  bench,
  type Dir,
  dir,
  file,
  flatten,
  leftLandings,
  linkTo,
  onDisk,
  put,
  trees,
} from "../../../test/support/landing.ts";
import { params } from "../../../test/support/runs.ts";
import { encodeChunks } from "../../world/content.ts";
import { writeTree } from "../../world/tree.ts";
import { type Files, realFiles } from "./files.ts";
import { type Landing, land, type Ports } from "./land.ts";
import { type Change, invert, planLanding, type Side } from "./plan.ts";
import { recoverLanding } from "./recover.ts";

const unsynced: Files = { ...realFiles, fsync: async () => {}, syncDir: async () => {} };
const benches: Bench[] = [];
afterEach(() => {
  for (const each of benches.splice(0)) each.remove();
});

async function begin(from: Dir, to: Dir): Promise<Bench> {
  const made = await bench(from, to);
  benches.push(made);
  return made;
}

/** Lands `to` in a directory that has `from`, and gives what became of it. */
async function landed(from: Dir, to: Dir, ports: Partial<Ports> = {}, meddle: (root: string) => void = () => {}) {
  const { root, options, read } = await begin(from, to);
  meddle(root);
  const done = await land(options, { files: unsynced, ...ports });
  return { root, done, read, disk: onDisk(root) };
}

const told = (done: Landing) => done.conflicts.map(({ path, why }) => `${path}: ${why}`);
const failing = (call: keyof Files, code: string, when: (...args: never[]) => boolean = () => true): Files => ({
  ...unsynced,
  [call]: (...args: never[]) => {
    if (when(...args)) throw Object.assign(new Error(`${code}: refused`), { code, syscall: call });
    return (unsynced[call] as (...args: never[]) => unknown)(...args);
  },
});
const sideOf = async ({ objects }: Bench, text: string, mode = 0o644): Promise<Side> => ({
  type: "f",
  mode,
  id: await objects.put(Buffer.from(text)),
});

const alone = { files: unsynced, writers: async () => new Map<string, string>() };

describe("nobody interferes", () => {
  test("a landing makes exactly the wanted tree, and its inverse the old one again", async () => {
    await fc.assert(
      fc.asyncProperty(trees, trees, async (from, to) => {
        const { root, options, remove } = await bench(from, to);
        try {
          const done = await land(options, alone);
          expect(done.conflicts).toEqual([]);
          expect(onDisk(root)).toEqual(flatten(to));
          const undone = await land({ ...options, id: `${options.id}u`, changes: invert(done.landed) }, alone);
          expect(undone.conflicts).toEqual([]);
          expect(onDisk(root)).toEqual(flatten(from));
        } finally {
          remove();
        }
      }),
      params(1000, 100),
    );
  }, 600_000);

  test("the mode of the workspace itself is landed too", async () => {
    const { disk, done } = await landed(dir({ a: file("1") }, 0o755), dir({ a: file("2") }, 0o750));
    expect(disk).toEqual(flatten(dir({ a: file("2") }, 0o750)));
    expect(done.landed).toHaveLength(2);
  });

  test("files of chunks and sparse files come whole", async () => {
    const size = 3 << 20;
    const made = await begin(dir(), dir());
    const zero = await made.objects.put(Buffer.alloc(1 << 20));
    const one = await made.objects.put(Buffer.alloc(1 << 20, 1));
    const ids = [zero, one, zero];
    const id = await made.objects.put(encodeChunks(size, ids));
    const to = await writeTree(made.objects, {
      mode: 0o755,
      entries: [{ type: "F", mode: 0o644, name: Buffer.from("big"), id }],
    });
    const { changes } = await planLanding(made.objects, await put(made.objects, dir()), to);
    expect((await land({ ...made.options, changes })).conflicts).toEqual([]);
    const bytes = fs.readFileSync(`${made.root}/big`);
    expect(bytes.equals(Buffer.concat([Buffer.alloc(1 << 20), Buffer.alloc(1 << 20, 1), Buffer.alloc(1 << 20)]))).toBe(
      true,
    );
    const undone = await land({ ...made.options, id: "undo", changes: invert(changes) });
    expect(undone.conflicts).toEqual([]);
    expect(fs.readdirSync(made.root)).toEqual([]);
  });

  test("what was displaced is told, with its content in the store", async () => {
    const { done, read } = await landed(
      dir({ a: file("one"), b: linkTo("x"), c: file("same") }),
      dir({ a: file("two"), c: file("same", 0o600) }),
    );
    expect(done.displaced.map(({ path, link }) => [path.toString(), read(link)])).toEqual([
      ["b", "x"],
      ["a", "one"],
    ]);
  });

  test.runIf(process.geteuid?.() === 0)(
    "a replaced file keeps its owner, a new one gets that of its directory",
    async () => {
      const { root } = await landed(
        dir({ p: dir({ a: file("one"), s: file("s"), l: linkTo("x"), f: file("file") }) }),
        dir({
          p: dir({
            a: file("two"),
            n: file("new"),
            s: file("t", 0o4755),
            l: linkTo("y"),
            d: dir({ in: file("") }),
            f: dir(),
          }),
        }),
        {},
        (at) => {
          fs.chownSync(`${at}/p`, 1234, 5678);
          for (const name of ["a", "s"]) fs.chownSync(`${at}/p/${name}`, 77, 88);
          fs.lchownSync(`${at}/p/l`, 77, 88);
        },
      );
      const owner = (name: string) => {
        const { uid, gid, mode } = fs.lstatSync(`${root}/p/${name}`);
        return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
      };
      expect(owner("a")).toBe("77:88 644");
      expect(owner("s")).toBe("77:88 4755");
      expect(owner("l")).toBe("77:88 777");
      expect(owner("n")).toBe("1234:5678 644");
      expect(owner("d")).toBe("1234:5678 755");
      expect(owner("d/in")).toBe("1234:5678 644");
      expect(owner("f")).toBe("1234:5678 755");
    },
  );

  test("a change of mode alone leaves the file, so its other names and whoever has it open", async () => {
    let before = 0;
    const { root, done } = await landed(dir({ a: file("a") }), dir({ a: file("a", 0o755) }), {}, (at) => {
      before = fs.lstatSync(`${at}/a`).ino;
    });
    expect(fs.lstatSync(`${root}/a`).ino).toBe(before);
    expect(done.displaced).toEqual([]);
  });
});

describe("the user was there first", () => {
  const from = dir({ a: file("one"), d: dir({ in: file("in") }), l: linkTo("x") });
  const to = dir({ a: file("two"), n: file("new"), d: file("now a file"), l: linkTo("y") });

  test("a changed, a removed and a new file are left as they are, and told with their contents", async () => {
    const { done, disk, read } = await landed(from, to, {}, (root) => {
      fs.writeFileSync(`${root}/a`, "mine");
      fs.unlinkSync(`${root}/l`);
      fs.writeFileSync(`${root}/n`, "mine too");
      fs.writeFileSync(`${root}/d/more`, "more");
    });
    expect(told(done)).toEqual(["a: changed", "d: not empty", "l: deleted", "n: exists"]);
    expect(done.conflicts.map(({ theirs }) => (theirs?.id ? read(`blob:${theirs.id}`) : null))).toEqual([
      "mine",
      null,
      null,
      "mine too",
    ]);
    expect([...disk.keys()]).toEqual(["", "a", "d", "d/more", "n"]);
  });

  test("what already is as it is to be has landed", async () => {
    const { done, disk } = await landed(from, to, {}, (root) => {
      fs.writeFileSync(`${root}/a`, "two");
      fs.writeFileSync(`${root}/n`, "new");
      fs.chmodSync(`${root}/n`, 0o644);
      fs.rmSync(`${root}/d`, { recursive: true });
      fs.writeFileSync(`${root}/d`, "now a file");
      fs.chmodSync(`${root}/d`, 0o644);
    });
    expect(done.conflicts).toEqual([]);
    expect(disk).toEqual(flatten(to));
  });

  test("a directory above that has become a link is a conflict, and nothing is followed", async () => {
    const outside = await begin(dir({ in: file("in") }), dir());
    const { done } = await landed(
      dir({ d: dir({ in: file("in"), gone: file("gone") }) }),
      dir({ d: dir({ in: file("new"), more: file("more") }) }),
      {},
      (root) => {
        fs.rmSync(`${root}/d`, { recursive: true });
        fs.symlinkSync(outside.root, `${root}/d`);
      },
    );
    expect(told(done)).toEqual(["d/in: parent", "d/more: parent"]);
    expect(done.landed.map(({ path }) => path.toString())).toEqual(["d/gone"]);
    expect(onDisk(outside.root)).toEqual(flatten(dir({ in: file("in") })));
  });

  test("a directory, a named pipe or a socket in the way stays", async () => {
    const { done, root } = await landed(dir({ a: file("one") }), dir({ a: file("two"), b: file("new") }), {}, (at) => {
      fs.unlinkSync(`${at}/a`);
      fs.mkdirSync(`${at}/a`);
      fs.mkdirSync(`${at}/b`);
      fs.writeFileSync(`${at}/b/mine`, "mine");
    });
    expect(told(done)).toEqual(["a: changed", "b: exists"]);
    expect(fs.readFileSync(`${root}/b/mine`, "utf8")).toBe("mine");
  });

  test("a directory that the plan removes stays with what the plan does not know", async () => {
    const { done, disk } = await landed(
      dir({ d: dir({ a: file("a"), e: dir({ b: file("b") }) }) }),
      dir(),
      {},
      (root) => {
        fs.mkdirSync(`${root}/d/e/.git`);
      },
    );
    expect(told(done)).toEqual(["d/e: not empty", "d: not empty"]);
    expect([...disk.keys()]).toEqual(["", "d", "d/e", "d/e/.git"]);
  });
});

describe("what no landing touches", () => {
  test("a plan that names .git, or leads out of the workspace, is refused path by path", async () => {
    const made = await begin(dir({ sub: dir() }), dir({ sub: dir() }));
    const next = await sideOf(made, "evil");
    const change = (path: string): Change => ({ path: Buffer.from(path), expected: null, next, asks: null });
    const paths = [
      ".git/config",
      "sub/.git",
      ".GIT/x",
      "../out",
      "sub/../../out",
      "/etc/x",
      "sub//x",
      ".shepherd-landing-x/y",
    ];
    const done = await land({ ...made.options, changes: paths.map(change) }, { files: unsynced });
    expect(told(done)).toEqual(paths.map((path) => `${path}: refused`));
    expect([...onDisk(made.root).keys()]).toEqual(["", "sub"]);
  });
});

describe("the system says no", () => {
  const from = dir({ a: file("one"), b: file("one"), c: dir({ in: file("in") }) });
  const to = dir({ a: file("two"), b: file("two"), c: file("file") });

  test("a full disk while staging: nothing has changed, and the error comes through", async () => {
    const { root, options } = await begin(from, to);
    let writes = 0;
    await expect(land(options, { files: failing("write", "ENOSPC", () => ++writes === 2) })).rejects.toThrow(
      "did not fit on the disk",
    );
    expect(onDisk(root)).toEqual(flatten(from));
  });

  test("a full disk, a mount, a missing permission: that path is a conflict, the others land", async () => {
    for (const [call, code] of [
      ["link", "ENOSPC"],
      ["rename", "EXDEV"],
      ["rename", "EACCES"],
      ["rename", "EBUSY"],
      ["link", "EROFS"],
    ] as const) {
      const refuses = (_: unknown, name: string, __: unknown, as: string) => name === "b" || as === "b";
      const { done, disk } = await landed(from, to, { files: failing(call, code, refuses as never) });
      // The old file can then not be linked back either: it comes back as a copy, or stays where it is told.
      if (call === "rename") {
        expect(told(done)).toEqual(["b: failed"]);
        expect(disk).toEqual(flatten(dir({ ...to.in, b: file("one") })));
      } else expect(told(done)).toHaveLength(1);
      expect(disk.get("a")).toBe("f 644 two");
      expect(disk.get("c")).toBe("f 644 file");
    }
  });

  test("a link whose target the file system cannot hold is a conflict", async () => {
    const { done, disk } = await landed(from, dir({ ...from.in, a: file("two"), l: linkTo("x".repeat(5000)) }));
    expect(told(done)).toEqual(["l: failed"]);
    expect(disk.get("a")).toBe("f 644 two");
  });

  test("where the old file cannot be linked back, it stays in a place that is told", async () => {
    const to = (_: unknown, __: string, ___: unknown, as: string) => as === "b";
    const { done, root } = await landed(from, dir({ ...from.in, b: file("two") }), {
      files: failing("link", "EPERM", to as never),
    });
    const [conflict] = done.conflicts;
    expect(conflict!.stays).toHaveLength(1);
    expect(fs.readFileSync(`${root}/${conflict!.stays[0]}`, "utf8")).toBe("one");
    expect(leftLandings(root)).toHaveLength(1);
  });

  test("a directory that a file takes the place of comes back if the file cannot", async () => {
    const refuses = (_: unknown, __: string, ___: unknown, as: string) => as === "c";
    const { done, disk } = await landed(from, dir({ ...to.in, c: file("file") }), {
      files: failing("link", "ENOSPC", refuses as never),
    });
    expect(told(done)).toEqual(["c: failed"]);
    expect(disk.get("c")).toBe("d 755");
  });

  test("without hard links nothing is begun", async () => {
    const { root, options } = await begin(from, to);
    await expect(land(options, { files: failing("link", "EPERM") })).rejects.toThrow("has no hard links");
    expect(onDisk(root)).toEqual(flatten(from));
  });

  test("a second landing of the same id, or beside one that was not ended, is refused", async () => {
    const { root, options } = await begin(from, to);
    fs.mkdirSync(`${root}/.shepherd-landing-${options.id}`);
    await expect(land(options)).rejects.toThrow("recover it first");
    expect(leftLandings(root)).toEqual([options.id]);
  });

  test("contents that the store lacks: nothing has changed", async () => {
    const { root, options, objects } = await begin(from, to);
    for (const [id, bytes] of objects.map) if (Buffer.from(bytes).toString() === "two") objects.map.delete(id);
    await expect(land(options, { files: unsynced })).rejects.toThrow("lacks the content");
    expect(onDisk(root)).toEqual(flatten(from));
  });
});

describe("stopping", () => {
  const from = dir({ a: file("1"), b: file("1"), c: file("1"), r: dir({ in: file("in") }, 0o555) });
  const to = dir({ a: file("2"), b: file("2"), c: file("2"), r: dir({ in: file("2") }, 0o555) });

  test("before anything is touched it throws the reason and leaves nothing", async () => {
    const { root, options } = await begin(from, to);
    await expect(land({ ...options, signal: AbortSignal.abort(new Error("stopped")) })).rejects.toThrow("stopped");
    const controller = new AbortController();
    const files: Files = {
      ...unsynced,
      fsync: async () => controller.abort(new Error("stopped later")),
    };
    await expect(land({ ...options, signal: controller.signal }, { files })).rejects.toThrow("stopped later");
    expect(onDisk(root)).toEqual(flatten(from));
  });

  test("later it leaves what has not landed, and no directory writable that was not", async () => {
    const { root, options } = await begin(from, to);
    const controller = new AbortController();
    const done = await land(
      {
        ...options,
        signal: controller.signal,
        onProgress: (_, total) => total && fs.lstatSync(`${root}/r`).mode & 0o200 && controller.abort(),
      },
      { files: unsynced },
    );
    expect(done.left.length).toBeGreaterThan(0);
    expect(done.landed.length + done.left.length).toBe(options.changes.length);
    expect(onDisk(root).get("r")).toBe("d 555");
    expect(leftLandings(root)).toEqual([]);
  });
});

describe("files that run code later", () => {
  const from = dir({ src: file("1"), ".vscode": dir({ "settings.json": file("{}"), "notes.txt": file("1") }) });
  const to = dir({
    src: file("2"),
    ".envrc": file("evil"),
    ".husky": dir({ _: dir({ "pre-commit": file("evil") }) }),
    ".vscode": dir({ "settings.json": file("evil"), "notes.txt": file("2") }),
  });

  test("without an answer they wait, with the directories that only they need", async () => {
    const { root, options } = await begin(from, to);
    const { confirm: _, ...unasked } = options;
    const done = await land(unasked, { files: unsynced });
    expect(done.held.map(({ path }) => path.toString()).sort()).toEqual([
      ".envrc",
      ".husky",
      ".husky/_",
      ".husky/_/pre-commit",
      ".vscode/settings.json",
    ]);
    expect(done.conflicts).toEqual([]);
    expect(onDisk(root)).toEqual(
      flatten(dir({ src: file("2"), ".vscode": dir({ "settings.json": file("{}"), "notes.txt": file("2") }) })),
    );
    const later = await land({ ...options, id: "later", changes: done.held }, { files: unsynced });
    expect(later.conflicts).toEqual([]);
    expect(onDisk(root)).toEqual(flatten(to));
  });

  test("those that are allowed land", async () => {
    const { root, options } = await begin(from, to);
    const confirm = async (asking: readonly Change[]) => asking.filter(({ path }) => path.toString() === ".envrc");
    await land({ ...options, confirm }, { files: unsynced });
    expect([...onDisk(root).keys()]).toEqual([
      "",
      ".envrc",
      ".vscode",
      ".vscode/notes.txt",
      ".vscode/settings.json",
      "src",
    ]);
  });

  test("a directory stays that something held is in", async () => {
    const { root, options } = await begin(from, dir({ src: file("1") }));
    const done = await land({ ...options, confirm: async () => false }, { files: unsynced });
    expect(done.conflicts).toEqual([]);
    expect(done.held.map(({ path }) => path.toString())).toEqual([".vscode/settings.json", ".vscode"]);
    expect([...onDisk(root).keys()]).toEqual(["", ".vscode", ".vscode/settings.json", "src"]);
  });
});

describe("a program has the file open for writing", () => {
  const from = dir({ log: file("one\n"), db: file("one\n") });
  const to = dir({ log: file("two\n"), db: file("two\n") });

  test("it is left to that program", async () => {
    let fd = -1;
    const { done, root } = await landed(from, to, { patience: 0 }, (at) => {
      fd = fs.openSync(`${at}/log`, "a");
    });
    fs.writeSync(fd, "more\n");
    fs.closeSync(fd);
    expect(told(done)).toEqual(["log: in use"]);
    expect(fs.readFileSync(`${root}/log`, "utf8")).toBe("one\nmore\n");
    expect(fs.readFileSync(`${root}/db`, "utf8")).toBe("two\n");
  });

  test("one that only reads it is no matter", async () => {
    let fd = -1;
    const { done } = await landed(from, to, { patience: 0 }, (at) => {
      fd = fs.openSync(`${at}/log`, "r");
    });
    fs.closeSync(fd);
    expect(done.conflicts).toEqual([]);
  });

  /** Opens a file just before it is moved away, as an editor does that is about to save. */
  const opener = (opened: (fd: number) => void): Files => ({
    ...unsynced,
    rename: (dir, name, to, as) => {
      if (name === "log" && as.startsWith("o")) opened(fs.openSync(`${dir.at}log`, "r+"));
      realFiles.rename(dir, name, to, as);
    },
  });

  test("an editor that opened it just before it was moved away: its file is put back", async () => {
    let fd = -1;
    const { done, root } = await landed(from, to, { patience: 0, files: opener((each) => (fd = each)) });
    expect(told(done)).toEqual(["log: in use"]);
    fs.ftruncateSync(fd);
    fs.writeSync(fd, "saved\n", 0);
    fs.closeSync(fd);
    expect(fs.readFileSync(`${root}/log`, "utf8")).toBe("saved\n");
  });

  test("an editor that is done soon is waited for; what it wrote is put back", async () => {
    const files = opener((fd) => {
      setTimeout(() => {
        fs.ftruncateSync(fd);
        fs.writeSync(fd, "saved\n", 0);
        fs.closeSync(fd);
      }, 20);
    });
    const { done, root } = await landed(from, to, { patience: 60_000, files });
    expect(told(done)).toEqual(["log: late"]);
    expect(fs.readFileSync(`${root}/log`, "utf8")).toBe("saved\n");
  });

  test("a late write to the old file, after the user saved to the new one: the new one stays, the other is kept", async () => {
    let fd = -1;
    const files: Files = {
      ...opener((each) => (fd = each)),
      link: (from, name, to, as) => {
        realFiles.link(from, name, to, as);
        if (as !== "log") return;
        fs.writeFileSync(`${to.at}log`, "newer\n");
        fs.ftruncateSync(fd);
        fs.writeSync(fd, "late\n", 0);
        fs.closeSync(fd);
      },
    };
    const { done, root, read } = await landed(from, to, { files });
    expect(told(done)).toEqual(["log: late"]);
    expect(fs.readFileSync(`${root}/log`, "utf8")).toBe("newer\n");
    expect(done.conflicts[0]!.kept.map(read)).toEqual(["late\n"]);
  });

  test("what can neither go back nor be let go stays where it is told, until whoever writes to it is done", async () => {
    let fd = -1;
    const files: Files = {
      ...opener((each) => (fd = each)),
      link: (from, name, to, as) => {
        realFiles.link(from, name, to, as);
        if (as === "log") fs.writeFileSync(`${to.at}log`, "newer\n");
      },
    };
    const made = await begin(from, to);
    const done = await land(made.options, { files, patience: 0 });
    const [conflict] = done.conflicts;
    expect(conflict!.why).toBe("in use");
    expect(conflict!.stays.map(String)).toEqual([`.shepherd-landing-${made.options.id}/o1`]);
    fs.writeSync(fd, "late\n", 0);
    fs.closeSync(fd);
    const again = await recoverLanding({ ...made.options, records: made.records }, { files: unsynced });
    expect(again!.conflicts.map(({ path, kept, stays }) => [String(path), kept.map(made.read), stays])).toEqual([
      ["log", ["late\n"], []],
    ]);
    expect(leftLandings(made.root)).toEqual([]);
    expect(fs.readFileSync(`${made.root}/log`, "utf8")).toBe("newer\n");
    expect(await recoverLanding({ ...made.options, records: made.records })).toEqual(again);
  });

  test("other programs are seen, with their names", async () => {
    const program =
      "require('node:fs').openSync(process.argv[1], 'r+'); console.log('open'); setInterval(() => {}, 1000)";
    let child: ChildProcess | undefined;
    const made = await begin(from, to);
    try {
      child = spawn(process.execPath, ["-e", program, `${made.root}/log`], { stdio: ["ignore", "pipe", "inherit"] });
      await once(child.stdout!, "data");
      const done = await land(made.options, { files: unsynced, patience: 0 });
      expect(told(done)).toEqual(["log: in use"]);
      expect(done.conflicts[0]!.text).toContain(`(process ${child.pid})`);
    } finally {
      child?.kill("SIGKILL");
    }
  });

  test("a write after the last look that no list of open files showed is seen before the file goes", async () => {
    let fd = -1;
    const opened = opener((each) => (fd = each));
    const made = await begin(from, to);
    const journal = async (record: (typeof made.records)[number]) => {
      // By now everything is looked at, and about to be cleared up.
      if (made.records.push(record) === 2) fs.writeSync(fd, "late!", 0);
    };
    const done = await land({ ...made.options, journal }, { files: opened, writers: async () => new Map() });
    fs.closeSync(fd);
    expect(told(done)).toEqual(["log: late"]);
    expect(done.conflicts[0]!.kept.map(made.read)).toEqual(["late!"]);
    expect(made.records).toHaveLength(3);
  });
});

describe("recovery", () => {
  const from = dir({ a: file("one"), b: file("one") });
  const to = dir({ a: file("two"), b: file("two"), n: file("new") });
  test("of a landing that never began gives nothing, and changes nothing", async () => {
    const { root, options } = await begin(from, to);
    expect(await recoverLanding({ ...options, records: [] })).toBe(null);
    expect(onDisk(root)).toEqual(flatten(from));
  });

  test("of a landing that was ended gives what it came to, again and again", async () => {
    const made = await begin(from, to);
    fs.writeFileSync(`${made.root}/a`, "mine");
    const done = await land(made.options, { files: unsynced });
    fs.writeFileSync(`${made.root}/b`, "mine too");
    for (let time = 0; time < 2; time++)
      expect(await recoverLanding({ ...made.options, records: made.records })).toEqual(done);
    expect(fs.readFileSync(`${made.root}/b`, "utf8")).toBe("mine too");
  });

  test("keeps what waits waiting", async () => {
    const made = await begin(dir({ a: file("1") }), dir({ a: file("2"), ".envrc": file("evil") }));
    const { confirm: _, ...unasked } = made.options;
    await expect(
      land({ ...unasked, sync: async () => Promise.reject(new Error("died")) }, { files: unsynced }),
    ).rejects.toThrow("died");
    await expect(
      land(
        {
          ...unasked,
          onProgress: () => {
            throw new Error("died");
          },
        },
        { files: unsynced },
      ),
    ).rejects.toThrow("died");
    const done = await recoverLanding({ ...made.options, records: made.records }, { files: unsynced });
    expect(done!.held.map(({ path }) => path.toString())).toEqual([".envrc"]);
    expect(onDisk(made.root)).toEqual(flatten(dir({ a: file("2") })));
  });

  test("whose directory somebody cleaned away lands what has not landed", async () => {
    const made = await begin(from, to);
    await expect(
      land(
        {
          ...made.options,
          onProgress: () => {
            throw new Error("died");
          },
        },
        { files: unsynced },
      ),
    ).rejects.toThrow("died");
    expect(leftLandings(made.root)).toEqual([made.options.id]);
    fs.rmSync(`${made.root}/.shepherd-landing-${made.options.id}`, { recursive: true });
    const done = await recoverLanding({ ...made.options, records: made.records }, { files: unsynced });
    expect(done!.conflicts).toEqual([]);
    expect(onDisk(made.root)).toEqual(flatten(to));
  });

  test("a store that fails at the end leaves all to it", async () => {
    const made = await begin(from, to);
    const failingStore = { ...made.objects, put: async () => Promise.reject(new Error("store full")) };
    await expect(land({ ...made.options, objects: failingStore }, { files: unsynced })).rejects.toThrow("store full");
    const done = await recoverLanding({ ...made.options, records: made.records }, { files: unsynced });
    expect(done === null || done.conflicts.length === 0).toBe(true);
    expect(onDisk(made.root)).toEqual(flatten(done ? to : from));
  });
});
