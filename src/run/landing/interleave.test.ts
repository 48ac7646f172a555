/** A landing with a user at work between any two of its system calls, and with its death at any of them. */
import * as fs from "node:fs";
import * as os from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Bench,
  bench,
  type Dir,
  dir,
  file,
  flatten,
  linkTo,
  type Node,
  onDisk,
  trees,
} from "../../../test/support/landing.ts";
import { long, params } from "../../../test/support/runs.ts";
import { type Files, realFiles } from "./files.ts";
import { type Landing, land } from "./land.ts";
import { linkOf, STAGING_PREFIX } from "./plan.ts";
import { recoverLanding } from "./recover.ts";
import type { Writers } from "./writers.ts";

/** What a user does to a path; each saving writes bytes that nobody else writes. */
const KINDS = [
  "edit in place",
  "save by rename",
  "save anew",
  "delete",
  "make a directory",
  "put a link",
  "chmod",
  "open",
  "write and close",
  "move the directory away",
  "switch branches",
] as const;
type Kind = (typeof KINDS)[number];

interface Action {
  /** Before which system call, counted from the start of the landing. */
  at: number;
  kind: Kind;
  path: string;
}

/** Keeps track of what a user may expect to find. */
class User {
  /** By path, what the user did to it last: saved these bytes, or removed it. */
  readonly last = new Map<string, { saved: string; as: string } | "removed">();
  readonly touched = new Set<string>();
  private readonly inGap = new Set<string>();
  readonly outside: string;
  private readonly open = new Map<string, { fd: number; stale: boolean }>();
  private serial = 0;

  constructor(
    readonly root: string,
    readonly all: readonly string[],
  ) {
    this.outside = fs.mkdtempSync(join(os.tmpdir(), "outside-"));
    fs.writeFileSync(`${this.outside}/b`, "outside");
  }

  /** The simulated kernel's answer to who has a file open. */
  readonly writers: Writers = async (files) => {
    const found = new Map<string, string>();
    for (const { fd } of this.open.values()) {
      const { ino } = fs.fstatSync(fd, { bigint: true });
      for (const each of files) if (each.ino === ino) found.set(each.name, "an editor");
    }
    return found;
  };

  act(kind: Kind, path: string): void {
    try {
      this.perform(kind, path);
    } catch (error) {
      // The system refused, and the user saw it: nothing was done.
      if (!(error as NodeJS.ErrnoException).syscall) throw error;
    }
  }

  private perform(kind: Kind, path: string): void {
    const isFree = !fs.lstatSync(Buffer.from(`${this.root}/${path}`, "latin1"), { throwIfNoEntry: false });
    const before = this.last.get(path);
    this.play(kind, path);
    // A place that the user has not freed himself is free for the moment in which what was there is moved away.
    if (isFree && before !== "removed" && this.last.get(path) !== before) this.inGap.add(path);
  }

  private play(kind: Kind, path: string): unknown {
    const full = Buffer.from(`${this.root}/${path}`, "latin1");
    const bytes = `user ${this.serial++} ${path}`;
    // Through a link it would be a file elsewhere.
    for (let cut = path.indexOf("/"); cut > 0; cut = path.indexOf("/", cut + 1))
      if (fs.lstatSync(Buffer.from(`${this.root}/${path.slice(0, cut)}`, "latin1")).isSymbolicLink()) return;
    switch (kind) {
      case "edit in place":
        // Through a link it would be another file that is written.
        if (fs.lstatSync(full, { throwIfNoEntry: false })?.isSymbolicLink()) return;
        fs.writeFileSync(full, bytes, "latin1");
        return this.saved(path, bytes, true);
      case "save by rename": {
        const temporary = Buffer.concat([full, Buffer.from(`.swp${this.serial}`)]);
        fs.writeFileSync(temporary, bytes, "latin1");
        try {
          fs.renameSync(temporary, full);
        } catch (error) {
          fs.unlinkSync(temporary);
          throw error;
        }
        return this.saved(path, bytes);
      }
      case "save anew":
        fs.unlinkSync(full);
        this.removed(path);
        fs.writeFileSync(full, bytes, { encoding: "latin1", flag: "wx" });
        return this.saved(path, bytes);
      case "delete":
        fs.rmSync(full, { recursive: true });
        return this.removed(path);
      case "make a directory":
        this.clear(path, full);
        fs.mkdirSync(full);
        fs.writeFileSync(Buffer.concat([full, Buffer.from("/mine")]), bytes, "latin1");
        return this.saved(`${path}/mine`, bytes);
      case "put a link":
        this.clear(path, full);
        fs.symlinkSync(this.outside, full);
        this.touched.add(path);
        return;
      case "chmod":
        if (fs.lstatSync(full).isSymbolicLink()) return;
        fs.chmodSync(full, 0o750);
        this.touched.add(path);
        return;
      case "open":
        if (this.open.has(path) || !fs.lstatSync(full).isFile()) return;
        this.touched.add(path);
        this.open.set(path, { fd: fs.openSync(full, "r+"), stale: false });
        return;
      case "write and close":
        return this.writeOpen(path, bytes);
      case "move the directory away": {
        const cut = path.lastIndexOf("/");
        if (cut < 0) return;
        const above = path.slice(0, cut);
        const moved = `${above}.moved${this.serial}`;
        fs.renameSync(Buffer.from(`${this.root}/${above}`, "latin1"), Buffer.from(`${this.root}/${moved}`, "latin1"));
        for (const [each, last] of [...this.last]) {
          if (each !== above && !each.startsWith(`${above}/`)) continue;
          this.last.delete(each);
          this.last.set(moved + each.slice(above.length), last);
        }
        for (const [each, open] of [...this.open]) {
          if (each !== above && !each.startsWith(`${above}/`)) continue;
          this.open.delete(each);
          this.open.set(moved + each.slice(above.length), open);
        }
        this.touched.add(above).add(moved);
        fs.symlinkSync(this.outside, Buffer.from(`${this.root}/${above}`, "latin1"));
        return;
      }
      case "switch branches":
        for (const each of this.all) this.act(this.serial % 3 === 0 ? "delete" : "save anew", each);
    }
  }

  /** Ends what is open; each write must be found too. */
  finish(): void {
    for (const path of [...this.open.keys()]) this.writeOpen(path, `user ${this.serial++} ${path}`);
  }

  remove(): void {
    fs.rmSync(this.outside, { recursive: true });
  }

  private clear(path: string, full: Buffer): void {
    if (!fs.lstatSync(full, { throwIfNoEntry: false })) return;
    fs.rmSync(full, { recursive: true });
    this.removed(path);
  }

  private writeOpen(path: string, bytes: string): void {
    const open = this.open.get(path);
    if (!open) return;
    this.open.delete(path);
    fs.ftruncateSync(open.fd);
    fs.writeSync(open.fd, bytes, 0, "latin1");
    fs.closeSync(open.fd);
    // What the user had removed, or replaced, meanwhile took these bytes with it.
    if (!open.stale) this.saved(path, bytes, true);
  }

  private saved(path: string, bytes: string, inPlace = false): void {
    this.last.set(path, { saved: bytes, as: path });
    this.touched.add(path);
    const open = this.open.get(path);
    if (open && !inPlace) open.stale = true;
  }

  private removed(path: string): void {
    this.touched.add(path);
    for (const each of [...this.last.keys()]) if (each.startsWith(`${path}/`)) this.last.delete(each);
    for (const [each, open] of this.open) if (each === path || each.startsWith(`${path}/`)) open.stale = true;
    // What was made and removed in the same gap leaves nothing by which anybody could tell.
    if (this.inGap.delete(path)) this.last.delete(path);
    else this.last.set(path, "removed");
  }
}

class Killed extends Error {}

/** Files that call back before each system call, and die at one of them: then all later ones fail, and nothing is cleaned up. */
function staged(before: (call: number, what: string) => void, killAt = Infinity, exchange = false) {
  let calls = 0;
  let dead = false;
  const held = new Set<number>();
  const inner: Files = {
    ...realFiles,
    fsync: async () => {},
    syncDir: async () => {},
    ...(exchange && { exchange: exchangeNames }),
  };
  const step = (what: string) => {
    if (dead || calls === killAt) {
      if (!dead) for (const fd of held) fs.closeSync(fd);
      dead = true;
      throw new Killed();
    }
    before(calls++, what);
  };
  const files = new Proxy(inner, {
    get: (target, key: keyof Files) => {
      const call = target[key] as ((...args: unknown[]) => unknown) | undefined;
      if (!call) return undefined;
      return (...args: unknown[]) => {
        step(key);
        const result = call(...args);
        if (key === "openRoot" || key === "openDir") held.add((result as { fd: number }).fd);
        if (key === "create") held.add(result as number);
        if (key === "closeDir") held.delete((args[0] as { fd: number }).fd);
        if (key === "close") held.delete(args[0] as number);
        return result;
      };
    },
  });
  return { files, calls: () => calls };
}

/** What renameat2 does with RENAME_EXCHANGE, as long as nobody acts meanwhile. */
const exchangeNames: NonNullable<Files["exchange"]> = (a, name, b, other) => {
  realFiles.lstat(a, name) ?? fail();
  realFiles.lstat(b, other) ?? fail();
  realFiles.rename(a, name, a, "exchanging");
  realFiles.rename(b, other, a, name);
  realFiles.rename(a, "exchanging", b, other);
};
const fail = (): never => {
  throw Object.assign(new Error("ENOENT"), { code: "ENOENT", syscall: "renameat2" });
};

interface Play {
  from: Dir;
  to: Dir;
  actions: readonly Action[];
  /** Deaths: at which system call of the landing, of its first recovery, … */
  kills: readonly number[];
  exchange: boolean;
}

/** Plays a landing with its user and its deaths, and checks what must hold. Gives the number of system calls. */
async function play({ from, to, actions, kills, exchange }: Play): Promise<number> {
  const b = await bench(from, to);
  const before = flatten(from);
  const wanted = flatten(to);
  const paths = [...new Set([...before.keys(), ...wanted.keys()])].filter((path) => path !== "");
  const user = new User(b.root, paths);
  const log: string[] = [];
  let base = 0;
  try {
    const todo = [...actions].sort((x, y) => x.at - y.at);
    const due = (call: number, what: string) => {
      while (todo.length > 0 && todo[0]!.at <= base + call) {
        const { kind, path } = todo.shift()!;
        log.push(`before ${base + call} ${what}: ${kind} ${path}`);
        user.act(kind, path);
      }
    };
    let done: Landing | null = null;
    let killed = false;
    for (let life = 0; ; life++) {
      const ports = staged(due, kills[life], exchange);
      const all = { files: ports.files, writers: user.writers, patience: 0 };
      try {
        done =
          life === 0 ? await land(b.options, all) : await recoverLanding({ ...b.options, records: b.records }, all);
        base += ports.calls();
        break;
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
        log.push(`killed before ${kills[life]}`);
        killed = true;
        base += ports.calls();
      }
    }
    for (const { kind, path } of todo) {
      log.push(`at the end: ${kind} ${path}`);
      user.act(kind, path);
    }
    user.finish();
    check(b, user, before, wanted, done, killed);
    return base;
  } catch (error) {
    (error as Error).message += `\n${log.join("\n")}`;
    throw error;
  } finally {
    b.remove();
    user.remove();
  }
}

const related = (a: string, b: string): boolean => a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`);

function check(
  b: Bench,
  user: User,
  before: Map<string, string>,
  wanted: Map<string, string>,
  done: Landing | null,
  killed: boolean,
): void {
  const disk = onDisk(b.root);
  const kept = new Map<string, string[]>();
  for (const { path, theirs, kept: links } of done?.conflicts ?? []) {
    const link = linkOf(theirs);
    const list = [...(link ? [link] : []), ...links].map((each) => b.read(each));
    const name = path.toString("latin1");
    kept.set(name, [...(kept.get(name) ?? []), ...list]);
  }
  const stays = (done?.conflicts ?? []).flatMap(({ stays: each }) => each.map((path) => path.toString("latin1")));
  const staying = [...disk].filter(([path]) => path.startsWith(STAGING_PREFIX));
  for (const [path] of staying)
    expect(
      stays.some((each) => related(path, each)),
      `${path} is left and not reported`,
    ).toBe(true);

  const replaced = new Set(
    b.changes.flatMap(({ path, expected, next }) => (expected && next ? [path.toString("latin1")] : [])),
  );
  // Nothing that the user saved is lost.
  for (const [path, last] of user.last) {
    if (last === "removed") {
      // A file that the user removed does not come back; after a death the landing cannot tell that from its own gap.
      const there = disk.get(path);
      if (!killed && replaced.has(path) && there?.startsWith("f") && there === wanted.get(path))
        expect(there, `${path} came back`).toBe(undefined);
      continue;
    }
    const there = disk.get(path)?.replace(/^f \d+ /, "");
    if (there === last.saved) continue;
    const elsewhere = [...(kept.get(last.as) ?? []), ...staying.map(([, text]) => text.replace(/^f \d+ /, ""))];
    expect(elsewhere, `what was saved to ${path} is lost (there is ${there})`).toContain(last.saved);
  }
  // Nothing that the plan does not name has changed, and everything that nobody touched has landed.
  const untouched = (path: string) => ![...user.touched].some((each) => related(path, each));
  const named = new Set(b.changes.map(({ path }) => path.toString("latin1")));
  for (const path of new Set([...before.keys(), ...wanted.keys(), ...disk.keys()])) {
    if (path.startsWith(STAGING_PREFIX) || (path !== "" && !untouched(path))) continue;
    const isDir = (before.get(path) ?? wanted.get(path) ?? "d").startsWith("d");
    if (!named.has(path)) expect(disk.get(path), `${path} is none of the plan's`).toBe(before.get(path));
    else if (done === null) expect(disk.get(path), `${path} was not to be touched yet`).toBe(before.get(path));
    else if (!isDir || user.touched.size === 0) expect(disk.get(path), `${path} did not land`).toBe(wanted.get(path));
  }
  expect(fs.readdirSync(user.outside)).toEqual(["b"]);
  expect(fs.readFileSync(`${user.outside}/b`, "utf8")).toBe("outside");
  const results = done
    ? done.landed.length + done.conflicts.length + done.held.length + done.left.length
    : b.changes.length;
  expect(results).toBe(b.changes.length);
}

/** One change of every sort, in a directory that is not part of it. */
const SORTS: { [sort: string]: [from: Node | null, to: Node | null] } = {
  replaced: [file("old"), file("new", 0o755)],
  added: [null, file("new")],
  deleted: [file("old"), null],
  mode: [file("old"), file("old", 0o755)],
  "link replaced": [linkTo("x"), linkTo("y")],
  "file to directory": [file("old"), dir({ in: file("new") })],
  "directory to file": [dir({ in: file("old") }), file("new")],
  "directory added": [null, dir({ in: file("new") }, 0o750)],
  "directory removed": [dir({ in: file("old") }), null],
};

const treesOf = (sort: string): [Dir, Dir] => {
  const [from, to] = SORTS[sort]!;
  const around = (node: Node | null) =>
    dir({ p: dir({ ...(node && { b: node }), other: file("other") }), q: file("same") });
  return [around(from), around(to)];
};

/** Of the long runs, on a machine that does other things too. */
const TIMEOUT = 600_000;

describe("one change, one user, every moment", () => {
  for (const sort of Object.keys(SORTS))
    for (const exchange of [false, true])
      test(
        `${sort}${exchange ? ", with exchange" : ""}`,
        async () => {
          const [from, to] = treesOf(sort);
          const calls = await play({ from, to, actions: [], kills: [], exchange });
          for (let at = 0; at <= calls; at++) {
            for (const [number, kind] of KINDS.entries()) {
              if (!long && (at + number) % 23 !== 0) continue;
              await play({ from, to, actions: [{ at, kind, path: "p/b" }], kills: [], exchange });
            }
          }
        },
        TIMEOUT,
      );
});

describe("one change, dead at every moment", () => {
  for (const sort of Object.keys(SORTS))
    for (const exchange of [false, true])
      test(
        `${sort}${exchange ? ", with exchange" : ""}`,
        async () => {
          const [from, to] = treesOf(sort);
          const calls = await play({ from, to, actions: [], kills: [], exchange });
          for (let at = 0; at <= calls; at++) {
            if (long || at % 3 === 0) await play({ from, to, actions: [], kills: [at], exchange });
            // The user acts when the landing is dead, or just before it dies.
            for (let early = 0; early < 4; early++)
              for (const [number, kind] of KINDS.entries())
                if (long || (at * 3 + early * 5 + number) % 90 === 0)
                  await play({
                    from,
                    to,
                    actions: [{ at: Math.max(0, at - early), kind, path: "p/b" }],
                    kills: [at],
                    exchange,
                  });
          }
        },
        TIMEOUT,
      );
});

const action = (paths: readonly string[], most: number): fc.Arbitrary<Action> =>
  fc.record({ at: fc.nat(most), kind: fc.constantFrom(...KINDS), path: fc.constantFrom(...paths) });

const plays = (deaths: number): fc.Arbitrary<Play> =>
  fc.tuple(trees, trees, fc.boolean()).chain(([from, to, exchange]) => {
    const paths = [...new Set([...flatten(from).keys(), ...flatten(to).keys()])].filter((path) => path !== "");
    const most = 40 + paths.length * 25;
    return fc.record({
      from: fc.constant(from),
      to: fc.constant(to),
      exchange: fc.constant(exchange),
      actions: fc.array(action(paths.length > 0 ? paths : ["new"], most), { maxLength: 6 }),
      kills: fc.array(fc.nat(most), { maxLength: deaths }),
    });
  });

/** Several things that happen within a few calls of each other, in a landing of one change. */
const bursts: fc.Arbitrary<Play> = fc
  .record({
    sort: fc.constantFrom(...Object.keys(SORTS)),
    exchange: fc.boolean(),
    at: fc.nat(60),
    kinds: fc.array(fc.tuple(fc.nat(3), fc.constantFrom(...KINDS)), { minLength: 1, maxLength: 4 }),
    dies: fc.option(fc.nat(4), { freq: 2 }),
    diesAgain: fc.option(fc.nat(30)),
  })
  .map(({ sort, exchange, at, kinds, dies, diesAgain }) => {
    const [from, to] = treesOf(sort);
    let call = at;
    const actions = kinds.map(([gap, kind]) => {
      call += gap;
      return { at: call, kind, path: "p/b" };
    });
    const kills = dies === null ? [] : [at + dies, ...(diesAgain === null ? [] : [diesAgain])];
    return { from, to, actions, kills, exchange };
  });

describe("one change, much at once", () => {
  test(
    "users at work, and deaths",
    async () => {
      await fc.assert(
        fc.asyncProperty(bursts, async (each) => {
          await play(each);
        }),
        params(6000, 150),
      );
    },
    TIMEOUT,
  );
});

describe("any trees, any moments", () => {
  test(
    "users at work",
    async () => {
      await fc.assert(
        fc.asyncProperty(plays(0), async (each) => {
          await play(each);
        }),
        params(500, 60),
      );
    },
    TIMEOUT,
  );
  test(
    "users at work, and the landing dies, and its recovery too",
    async () => {
      await fc.assert(
        fc.asyncProperty(plays(3), async (each) => {
          await play(each);
        }),
        params(500, 60),
      );
    },
    TIMEOUT,
  );
});
