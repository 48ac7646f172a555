import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { long, params } from "../../test/support/runs.ts";
import { tempStore } from "../../test/support/temp-store.ts";
import { forkScope } from "../scope/fork.ts";
import { createScope, findScope, NO_GRANTS } from "../scope/registry.ts";
import { partsOf } from "../scope/transfer.ts";
import { readLog } from "../scope/view.ts";
import { link } from "../trace/bytes.ts";
import type { Hash, Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { openWriter, type Writer } from "../trace/writer.ts";
import { type Entry, writeTree } from "../world/tree.ts";
import { exportToGit } from "./togit.ts";

const LIMIT = long ? 1_800_000 : 60_000;
/** Files by their paths, as Latin-1; the targets of links, too. */
type Files = Map<string, { mode: 0o644 | 0o755 | 0o120000; content: Buffer }>;

const PATHS = [
  "a",
  "a.txt",
  "a/b",
  "a-b",
  "d/x",
  "d/e/f",
  "ü",
  "\xff\xfe",
  'q"\\\n',
  `${"long/".repeat(20)}end`,
  " ",
  "-",
  "d.x",
];

const put = (store: EmbeddedStore, content: Buffer): Promise<Hash> => store.objects.put(content);

/** Our tree of some files, and of empty directories beside them. */
async function ourTree(store: EmbeddedStore, files: Files, empty: readonly string[]): Promise<Link> {
  const below = new Map<string, Files>();
  const emptyBelow = new Map<string, string[]>();
  const entries: Entry[] = [];
  for (const [path, file] of files) {
    const [first, rest] = split(path);
    if (rest === null) {
      const type = file.mode === 0o120000 ? "l" : "f";
      const id = await put(store, file.content);
      entries.push({ type, mode: type === "l" ? 0 : file.mode, name: Buffer.from(first, "latin1"), id });
    } else below.set(first, (below.get(first) ?? new Map()).set(rest, file));
  }
  for (const path of empty) {
    const [first, rest] = split(path);
    if (files.has(first)) continue;
    if (!below.has(first)) below.set(first, new Map());
    if (rest !== null) emptyBelow.set(first, [...(emptyBelow.get(first) ?? []), rest]);
  }
  for (const [name, inside] of below) {
    const id = (await ourTree(store, inside, emptyBelow.get(name) ?? [])).slice("tree:".length);
    entries.push({ type: "d", mode: 0, name: Buffer.from(name, "latin1"), id });
  }
  return link("tree", await writeTree(store.objects, { mode: 0o755, entries }));
}

function split(path: string): [string, string | null] {
  const at = path.indexOf("/");
  return at < 0 ? [path, null] : [path.slice(0, at), path.slice(at + 1)];
}

const sha1 = (type: string, bytes: Buffer): Buffer =>
  createHash("sha1").update(`${type} ${bytes.length}\0`).update(bytes).digest();

/** What Git calls the tree of some files, computed without Git. */
function gitTree(files: Files): Buffer {
  const below = new Map<string, Files>();
  const rows: Array<{ sort: string; row: Buffer }> = [];
  const add = (mode: string, name: string, id: Buffer): void => {
    const sort = mode === "40000" ? `${name}/` : name;
    rows.push({ sort, row: Buffer.concat([Buffer.from(`${mode} ${name}\0`, "latin1"), id]) });
  };
  for (const [path, { mode, content }] of files) {
    const [first, rest] = split(path);
    if (rest === null) add(mode === 0o120000 ? "120000" : `100${mode.toString(8)}`, first, sha1("blob", content));
    else below.set(first, (below.get(first) ?? new Map()).set(rest, files.get(path)!));
  }
  for (const [name, inside] of below) add("40000", name, gitTree(inside));
  rows.sort((a, b) => (a.sort < b.sort ? -1 : 1));
  return sha1("tree", Buffer.concat(rows.map(({ row }) => row)));
}

/** Puts a file, or takes one away; what stands in the way of it goes. */
function change(files: Files, path: string, mode: number, content: number): Files {
  const next: Files = new Map(
    [...files].filter(([other]) => other !== path && !other.startsWith(`${path}/`) && !path.startsWith(`${other}/`)),
  );
  if (mode > 0)
    next.set(path, {
      mode: ([0, 0o644, 0o755, 0o120000] as const)[mode] as 0o644,
      content:
        mode === 3
          ? Buffer.from(`to/${content}`)
          : Buffer.from(["", "x\r\ny\r\n", "\0\x01\xff", `text ${content}\n`][content % 4]!, "latin1"),
    });
  return next;
}

interface History {
  /** What Git must call the tree of each of our commits. */
  trees: Map<Hash, string>;
  parents: Map<Hash, Hash[]>;
  go(moves: readonly Move[]): Promise<void>;
}
type Move = { what: "step" | "fork" | "merge"; scope: number; other: number; path: number; mode: number };

const moves = (least: number, most: number): fc.Arbitrary<Move[]> =>
  fc.array(
    fc.record({
      what: fc.constantFrom("step", "step", "step", "step", "step", "step", "fork", "merge"),
      scope: fc.nat(),
      other: fc.nat(),
      path: fc.nat(PATHS.length - 1),
      mode: fc.nat(3),
    }) as fc.Arbitrary<Move>,
    { minLength: least, maxLength: most },
  );

async function startHistory(store: EmbeddedStore): Promise<History> {
  const scopes: Array<{ name: string; writer: Writer; files: Files }> = [];
  const history: History = {
    trees: new Map(),
    parents: new Map(),
    go: async (all) => {
      for (const move of all) await perform(move);
    },
  };
  const attach = async (name: string, log: string, files: Files): Promise<void> => {
    const epoch = (await store.leases.acquire(`log/${log}`, (await store.logs.end(log)).epoch))!;
    scopes.push({ name, writer: await openWriter(store, log, epoch), files });
  };
  const record = (at: number, facts: Parameters<Writer["outcome"]>[1], n: number): Promise<void> =>
    scopes[at]!.writer.outcome(n, facts, { witness: { at: 1_700_000_000_000 + n * 1000 } }).then((sealed) => {
      for (const { sealed: made } of sealed) {
        history.trees.set(made!.id, gitTree(scopes[at]!.files).toString("hex"));
        history.parents.set(made!.id, made!.parents);
      }
    });
  const step = async (at: number, kind: "tool" | "merge" | "run", more: object, number: number): Promise<void> => {
    const { writer, files } = scopes[at]!;
    const n = await writer.intent({ kind, tier: "reversible" });
    await record(
      at,
      { status: "done", workspace: await ourTree(store, files, [`empty${number % 3}`, "d/none"]), ...more },
      n,
    );
  };
  const perform = async ({ what, scope, other, path, mode }: Move): Promise<void> => {
    const at = scope % scopes.length;
    const here = scopes[at]!;
    if (what === "step") {
      here.files = change(here.files, PATHS[path]!, mode, other);
      await step(at, "tool", {}, other);
    } else if (what === "fork" && scopes.length < 9) {
      const { n } = here.writer.fold.head();
      const [ref] = await forkScope(store, here.name, n, { name: `f${scopes.length}` });
      await attach(ref!.name, ref!.log, here.files);
    } else if (what === "merge") {
      const from = scopes[other % scopes.length]!;
      const { id } = from.writer.fold.head();
      if (from === here) return;
      here.files = new Map(from.files);
      await step(at, "merge", { with: id }, other);
    }
  };
  const { log } = await createScope(store, {
    name: "w",
    workspace: { path: "/w", id: "w" },
    parent: null,
    origin: null,
    grants: NO_GRANTS,
  });
  await attach("w", log, new Map());
  await step(0, "run", {}, 0);
  return history;
}

const git = (directory: string, ...args: string[]): string =>
  execFileSync("git", [`--git-dir=${directory}`, ...args], { encoding: "utf8", maxBuffer: 1 << 28 });

/** Exports the run `w`, and compares each commit with what it must be. */
async function check(store: EmbeddedStore, directory: string, { trees, parents }: History): Promise<string> {
  const parts = await partsOf(store, (await findScope(store, "w"))!, { forks: true });
  const done = await exportToGit(store, directory, parts, { rowOf: async (_, { n }) => `row ${n}` });
  expect(done.leftOut).toEqual([]);
  const lines = git(
    directory,
    "log",
    "--branches",
    "--format=%H %T %(trailers:key=Shepherd-Commit,valueonly,separator=%x20) %P",
  )
    .trim()
    .split("\n");
  const rows = lines.map((line) => line.split(" "));
  const names = new Map(rows.map(([name, , id]) => [name!, id!]));
  expect(rows.length).toBe(trees.size);
  for (const [, tree, id, ...before] of rows) {
    expect(tree).toBe(trees.get(id!));
    expect(before.map((name) => names.get(name))).toEqual(parents.get(id!));
  }
  for (const { name, log } of parts.scopes)
    expect(names.get(git(directory, "rev-parse", name).trim())).toBe((await readLog(store, log)).fold.head().id);
  execFileSync("git", [`--git-dir=${directory}`, "fsck", "--strict", "--no-progress"], { stdio: "pipe" });
  return git(directory, "for-each-ref");
}

test(
  "each step is a commit with just its files and its parents, and a later export adds what has come since",
  async () => {
    await fc.assert(
      fc.asyncProperty(moves(20, 30), moves(5, 15), async (before, since) => {
        const { store, directory, end } = await tempStore();
        try {
          const history = await startHistory(store);
          await history.go(before);
          const first = await check(store, join(directory, "first"), history);
          await history.go(since);
          const next = await check(store, join(directory, "first"), history);
          expect(await check(store, join(directory, "second"), history)).toBe(next);
          expect(next === first).toBe(false);
        } finally {
          await end();
        }
      }),
      params(30, 2),
    );
  },
  LIMIT,
);

test(
  "many steps, tree by tree",
  async () => {
    const { store, directory, end } = await tempStore();
    try {
      const history = await startHistory(store);
      const count = long ? 1000 : 60;
      const [all] = fc.sample(moves(2 * count, 2 * count), { numRuns: 1, seed: 7 });
      for (const move of all!) if (history.trees.size < count) await history.go([move]);
      await check(store, join(directory, "git"), history);
      expect(history.trees.size).toBe(count);
    } finally {
      await end();
    }
  },
  LIMIT,
);

test("what Git cannot hold is left out and named; a repository of somebody else's, and a branch that went on, stay as they are", async () => {
  const { store, directory, end } = await tempStore();
  try {
    const { log } = await createScope(store, {
      name: "w",
      workspace: { path: "/w", id: "w" },
      parent: null,
      origin: null,
      grants: NO_GRANTS,
    });
    const writer = await openWriter(store, log, (await store.leases.acquire(`log/${log}`))!);
    const names = [".git", "x/.GIT/y", "git~1", ".git . ", "a\\.git", ".g\xe2\x80\x8cit", "fine", ".gitignore"];
    const files: Files = new Map(names.map((name) => [name, { mode: 0o644, content: Buffer.from(name) }]));
    files.set(".gitmodules", { mode: 0o120000, content: Buffer.from("elsewhere") });
    for (const kind of ["run", "tool"] as const) {
      const n = await writer.intent({ kind, tier: "reversible" });
      await writer.outcome(n, { status: "done", workspace: await ourTree(store, files, ["empty/in/it"]) });
      files.delete("fine");
    }
    const parts = await partsOf(store, (await findScope(store, "w"))!, { forks: true });
    const options = { rowOf: async () => "row" };
    const place = join(directory, "git");
    const done = await exportToGit(store, place, parts, options);
    expect(done.leftOut).toEqual(
      [...names.slice(0, 6), "x/.GIT", ".gitmodules"]
        .filter((name) => name !== "x/.GIT/y")
        .concat("x/.GIT/y")
        .sort(),
    );
    expect(done.empty).toBe(3);
    expect(git(place, "ls-tree", "-r", "--name-only", "w~1")).toBe(".gitignore\nfine\n");
    execFileSync("git", [`--git-dir=${place}`, "fsck", "--strict"], { stdio: "pipe" });

    const other = join(directory, "other");
    fs.mkdirSync(other);
    fs.writeFileSync(join(other, "mine"), "mine");
    await expect(exportToGit(store, other, parts, options)).rejects.toThrow("is not empty");
    expect(fs.readdirSync(other)).toEqual(["mine"]);

    const env = {
      ...process.env,
      GIT_AUTHOR_NAME: "a",
      GIT_AUTHOR_EMAIL: "a@b",
      GIT_COMMITTER_NAME: "a",
      GIT_COMMITTER_EMAIL: "a@b",
    };
    const own = execFileSync("git", [`--git-dir=${place}`, "commit-tree", "-p", "w~1", "-m", "own", "w^{tree}"], {
      env,
      encoding: "utf8",
    }).trim();
    git(place, "update-ref", "refs/heads/w", own);
    await expect(exportToGit(store, place, parts, options)).rejects.toThrow("has other commits since");
    expect(git(place, "rev-parse", "w").trim()).toBe(own);
  } finally {
    await end();
  }
});
