import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { type MemoryObjects, memoryObjects } from "../../test/support/objects.ts";
import { params, runs, seed } from "../../test/support/runs.ts";
import { Forgotten } from "../trace/objects.ts";
import { type Hash, MAX_OBJECT } from "../trace/ports.ts";
import { encodeChunks, readContent } from "./content.ts";
import { mergeLines } from "./lines.ts";
import { type Conflict, mergeBase, mergeTrees, type Why, weaveTrees } from "./merge.ts";
import { Missing } from "./missing.ts";
import { type Entry, readTree, writeTree } from "./tree.ts";

// Trees as values of the test.

interface File {
  is: "file";
  mode: number;
  text: string;
}
interface LinkTo {
  is: "link";
  target: string;
}
interface Directory {
  is: "directory";
  mode: number;
  has: { [name: string]: Node };
}
type Node = File | LinkTo | Directory;

const file = (text: string, mode = 0o644): File => ({ is: "file", mode, text });
const link = (target: string): LinkTo => ({ is: "link", target });
const directory = (has: { [name: string]: Node } = {}, mode = 0o755): Directory => ({ is: "directory", mode, has });

async function put(objects: MemoryObjects, node: Node): Promise<Pick<Entry, "type" | "mode" | "id">> {
  if (node.is === "link") return { type: "l", mode: 0, id: await objects.put(Buffer.from(node.target)) };
  if (node.is === "file") {
    const bytes = Buffer.from(node.text, "latin1");
    if (bytes.length <= MAX_OBJECT) return { type: "f", mode: node.mode, id: await objects.put(bytes) };
    const ids: Hash[] = [];
    for (let at = 0; at < bytes.length; at += MAX_OBJECT)
      ids.push(await objects.put(bytes.subarray(at, at + MAX_OBJECT)));
    return { type: "F", mode: node.mode, id: await objects.put(encodeChunks(bytes.length, ids)) };
  }
  const entries: Entry[] = [];
  for (const [name, child] of Object.entries(node.has))
    entries.push({ ...(await put(objects, child)), name: Buffer.from(name) });
  return { type: "d", mode: 0, id: await writeTree(objects, { mode: node.mode, entries }) };
}

const store = async (objects: MemoryObjects, node: Directory): Promise<Hash> => (await put(objects, node)).id;

async function load(objects: MemoryObjects, { type, mode, id }: Pick<Entry, "type" | "mode" | "id">): Promise<Node> {
  if (type === "d") {
    const tree = await readTree(objects, id);
    const has: Directory["has"] = {};
    for (const entry of tree.entries) has[entry.name.toString()] = await load(objects, entry);
    return { is: "directory", mode: tree.mode, has };
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of readContent(objects, type, id)) pieces.push(piece);
  const text = Buffer.concat(pieces).toString("latin1");
  return type === "l" ? link(text) : file(text, mode);
}

/** `get` that writes down what is read. */
const recorded = (objects: MemoryObjects, read: Hash[]) => (id: Hash) => {
  read.push(id);
  return objects.get(id);
};

interface Merged {
  tree: Directory;
  id: Hash;
  conflicts: Conflict[];
  /** `path: why` of each conflict. */
  whys: string[];
}

async function merge(
  base: Directory | null,
  ours: Directory,
  theirs: Directory,
  objects = memoryObjects(),
): Promise<Merged> {
  const ids = {
    base: base && (await store(objects, base)),
    ours: await store(objects, ours),
    theirs: await store(objects, theirs),
  };
  const { tree, conflicts } = await mergeTrees(objects, ids.base, ids.ours, ids.theirs);
  return {
    tree: (await load(objects, { type: "d", mode: 0, id: tree })) as Directory,
    id: tree,
    conflicts,
    whys: conflicts.map((c) => `${c.path}: ${c.why}`),
  };
}

const clean = async (base: Directory | null, ours: Directory, theirs: Directory): Promise<Directory> => {
  const { tree, whys } = await merge(base, ours, theirs);
  expect(whys).toEqual([]);
  return tree;
};

// Random trees: few names, so that the sides meet.

const names = ["a", "b", "c"];
const text = fc
  .array(fc.constantFrom("one\n", "two\n", "{\n", "}\n", "\n", "end"), { maxLength: 8 })
  .map((lines) => lines.join(""));
const contents = fc.oneof({ weight: 8, arbitrary: text }, { weight: 1, arbitrary: fc.constantFrom("\0x", "\0y", "") });
const leaf: fc.Arbitrary<Node> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      is: fc.constant("file" as const),
      mode: fc.constantFrom(0o644, 0o755, 0o600),
      text: contents,
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom("a", "b", "../x").map(link) },
);
const treeOf = (depth: number): fc.Arbitrary<Directory> =>
  fc.record({
    is: fc.constant("directory" as const),
    mode: fc.constantFrom(0o755, 0o755, 0o700),
    has: fc.dictionary(fc.constantFrom(...names), depth === 0 ? leaf : fc.oneof(leaf, treeOf(depth - 1)), {
      maxKeys: 3,
      noNullPrototype: true,
    }),
  });

const change = fc.record({
  does: fc.constantFrom("edit", "edit", "edit", "remove", "put", "chmod", "make"),
  path: fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }),
  line: fc.nat(9),
  leaf,
  tree: treeOf(1),
  mode: fc.constantFrom(0o755, 0o700, 0o644),
});
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

/** `root` after changes at paths; where a path leads nowhere, the change happens where it ends. */
function changed(root: Directory, changes: readonly Change[]): Directory {
  const out = structuredClone(root);
  for (const { does, path: names, line, leaf, tree, mode } of changes) {
    let at = out;
    let [name, ...rest] = names as [string, ...string[]];
    for (let next = at.has[name]; rest.length > 0 && next?.is === "directory"; next = at.has[name]) {
      at = next;
      [name, ...rest] = rest as [string, ...string[]];
    }
    const node = at.has[name];
    if (does === "remove") delete at.has[name];
    else if (does === "put") at.has[name] = structuredClone(leaf);
    else if (does === "make") at.has[name] = structuredClone(tree);
    else if (node && does === "chmod" && node.is !== "link") node.mode = mode;
    else if (node?.is === "file") {
      const lines = node.text.split(/(?<=\n)/);
      lines.splice(line % (lines.length + 1), line % 3, `line ${line}\n`);
      node.text = lines.join("");
    }
  }
  return out;
}

const three = fc
  .tuple(treeOf(2), fc.array(change, { maxLength: 5 }), fc.array(change, { maxLength: 5 }))
  .map(([base, ours, theirs]) => ({ base, ours: changed(base, ours), theirs: changed(base, theirs) }));

// What a merge must be, said path by path and without regard to how it is computed.

/** Each path of a tree with what is there, for a directory its own mode only. The root is "". */
function flat(root: Node, at = "", out = new Map<string, Node>()): Map<string, Node> {
  out.set(at, root.is === "directory" ? { ...root, has: {} } : root);
  if (root.is === "directory")
    for (const [name, child] of Object.entries(root.has)) flat(child, at ? `${at}/${name}` : name, out);
  return out;
}

function find(root: Node, at: string): Node | undefined {
  let node: Node | undefined = root;
  for (const name of at === "" ? [] : at.split("/")) node = node?.is === "directory" ? node.has[name] : undefined;
  return node;
}

const key = (node: Node | undefined): string =>
  JSON.stringify(node, (_, value) =>
    value && typeof value === "object"
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  ) ?? "nothing";

const within = (at: string, above: string): boolean => above === "" || at === above || at.startsWith(`${above}/`);

/** Null: both changed it, differently. */
function three_<T>(base: T, ours: T, theirs: T): { is: T } | null {
  if (ours === theirs || base === theirs) return { is: ours };
  return base === ours ? { is: theirs } : null;
}

/** What three versions of one path come to, its entries aside; a string says why they conflict. */
function expected(b: Node | undefined, o: Node | undefined, t: Node | undefined): { is: Node | undefined } | Why {
  const taken = three_(key(b), key(o), key(t));
  if (taken) return { is: taken.is === key(o) ? o : t };
  if (!o || !t) return "modify/delete";
  if ((o.is === "directory") !== (t.is === "directory")) return "directory/file";
  if (o.is === "directory") return !b || b.is === "directory" ? "mode" : "type";
  if (o.is === "link" && t.is === "link" && (!b || b.is === "link")) return b ? "content" : "add/add";
  if (o.is === "link" || t.is !== "file") return "type";
  const was = b?.is === "file" ? b : undefined;
  const mode = three_(was?.mode, o.mode, t.mode);
  const text = three_(was?.text, o.text, t.text);
  if (text) return mode ? { is: file(text.is!, mode.is!) } : "mode";
  if (!was) return "add/add";
  const lines = mergeLines(
    ...([was.text, o.text, t.text].map((s) => Buffer.from(s, "latin1")) as [Buffer, Buffer, Buffer]),
  );
  if (!lines.clean) return lines.why;
  return mode ? { is: file(Buffer.from(lines.bytes).toString("latin1"), mode.is!) } : "mode";
}

/** A conflict about a directory's own mode leaves its entries to the merge. */
const ownModeOnly = (c: Conflict): boolean => [c.base, c.ours, c.theirs].every((entry) => !entry || entry.type === "d");

function check(base: Directory, ours: Directory, theirs: Directory, { tree, conflicts }: Merged): void {
  const [b, o, t, m] = [base, ours, theirs, tree].map((root) => flat(root)) as [
    Map<string, Node>,
    ...Map<string, Node>[],
  ];
  const closed = conflicts.filter((c) => !ownModeOnly(c)).map((c) => c.path.toString());
  const open = new Map(conflicts.map((c) => [c.path.toString(), c]));
  expect(new Set(conflicts.map((c) => c.path.toString())).size).toBe(conflicts.length);

  for (const at of new Set([...b.keys(), ...o!.keys(), ...t!.keys(), ...m!.keys()])) {
    const inside = closed.find((above) => within(at, above));
    const [bn, on, tn, mn] = [b.get(at), o!.get(at), t!.get(at), m!.get(at)];
    if (inside !== undefined) {
      expect(key(mn), `${at} is as ours, within the conflict at ${inside}`).toBe(key(on));
      if (inside !== at) continue;
      // A conflict has a cause: no side is as it was, they are not alike, and what is there does not merge.
      const whole = [base, ours, theirs].map((root) => key(find(root, at)));
      expect(new Set(whole).size, `${at} differs on all sides`).toBe(3);
      const without = expected(bn, on, tn);
      if (typeof without === "string") expect(open.get(at)!.why).toBe(without);
      else {
        // Itself it would merge, but it is a directory whose entries have nothing to merge with: on one side, or on both and new in place of a file.
        const directories = [on, tn].filter((node) => node?.is === "directory").length;
        expect(
          directories === 1 || (directories === 2 && bn && bn.is !== "directory"),
          `${at} has entries that differ`,
        ).toBe(true);
      }
      continue;
    }
    const due = expected(bn, on, tn);
    const needed = [...m!.keys()].some((other) => other !== at && within(other, at));
    if (open.has(at)) {
      expect(open.get(at)!.why).toBe(due);
      expect(key(mn), `${at} is as ours, or there because it is needed`).toBe(key(on ?? (needed ? tn : undefined)));
    } else if (typeof due === "string") {
      expect.fail(`${at} should be in conflict (${due}).`);
    } else if (key(mn) !== key(due.is)) {
      expect(due.is, `${at} is as merged`).toBe(undefined);
      expect(key(mn), `${at}, which one side removed, is as on the other`).toBe(key(on ?? tn));
      expect(needed, `${at} is needed`).toBe(true);
    }
  }
}

test("path by path: what one side changed is as that side has it, what both changed is merged or a conflict, and nothing else is", async () => {
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(three, async ({ base, ours, theirs }) => {
      const merged = await merge(base, ours, theirs);
      for (const { why } of merged.conflicts) seen.add(why);
      if (merged.conflicts.length === 0) seen.add("clean");
      check(base, ours, theirs, merged);
    }),
    params(20_000, 1500),
  );
  expect([...seen].sort()).toEqual([
    "add/add",
    "binary",
    "clean",
    "content",
    "directory/file",
    "mode",
    "modify/delete",
    "type",
  ]);
});

test("exchanging the sides exchanges the conflicts' sides, and gives the same tree where there is none", async () => {
  await fc.assert(
    fc.asyncProperty(three, async ({ base, ours, theirs }) => {
      const there = await merge(base, ours, theirs);
      const back = await merge(base, theirs, ours);
      expect(back.conflicts).toEqual(there.conflicts.map((c) => ({ ...c, ours: c.theirs, theirs: c.ours })));
      if (there.conflicts.length === 0) expect(back.id).toBe(there.id);
    }),
    params(4000, 400),
  );
});

test("woven: what merges is as ever, the sides may be exchanged, and each conflict is settled or left", async () => {
  let settled = 0;
  await fc.assert(
    fc.asyncProperty(three, async ({ base, ours, theirs }) => {
      const objects = memoryObjects();
      const [b, x, y] = [await store(objects, base), await store(objects, ours), await store(objects, theirs)];
      const plain = await mergeTrees(objects, b, x, y);
      const woven = await weaveTrees(objects, b, x, y);
      const back = await weaveTrees(objects, b, y, x);
      settled += woven.resolved.length;
      const paths = (all: readonly Conflict[]) => all.map(({ path }) => path.toString()).sort();
      expect(paths([...woven.conflicts, ...woven.resolved])).toEqual(paths(plain.conflicts));
      expect(woven.resolved.every(({ how }) => how.length > 0)).toBe(true);
      if (plain.conflicts.length === 0) expect(woven.tree).toBe(plain.tree);
      if (woven.conflicts.length === 0) expect(back.tree).toBe(woven.tree);
      const exchanged = <C extends Conflict>(all: readonly C[]) =>
        all.map((each) => ({ ...each, ours: each.theirs, theirs: each.ours }));
      expect(exchanged(back.conflicts)).toEqual(woven.conflicts);
      expect(exchanged(back.resolved)).toEqual(woven.resolved);
    }),
    params(8000, 1200),
  );
  expect(settled).toBeGreaterThan(5);
});

test("an unchanged side gives the other one exactly; two equal sides give just that; nothing new is written", async () => {
  await fc.assert(
    fc.asyncProperty(three, async ({ base, ours }) => {
      const objects = memoryObjects();
      const b = await store(objects, base);
      const x = await store(objects, ours);
      const before = objects.puts;
      expect(await mergeTrees(objects, b, x, b)).toEqual({ tree: x, conflicts: [] });
      expect(await mergeTrees(objects, b, b, x)).toEqual({ tree: x, conflicts: [] });
      expect(await mergeTrees(objects, b, x, x)).toEqual({ tree: x, conflicts: [] });
      expect(await mergeTrees(objects, null, x, x)).toEqual({ tree: x, conflicts: [] });
      expect(objects.puts).toBe(before);
    }),
    params(2000, 200),
  );
  // One side has all that the other has, and more.
  const objects = memoryObjects();
  const base = await store(objects, directory({ a: file("1\n2\n3\n") }));
  const less = await store(objects, directory({ a: file("0\n2\n3\n") }));
  const more = await store(objects, directory({ a: file("0\n2\n3\n"), b: file("b") }));
  const before = objects.puts;
  expect(await mergeTrees(objects, base, less, more)).toEqual({ tree: more, conflicts: [] });
  expect(await mergeTrees(objects, base, more, less)).toEqual({ tree: more, conflicts: [] });
  expect(objects.puts).toBe(before);
});

test("changes in different directories commute and are both there", async () => {
  const changes = fc.array(change, { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(treeOf(2), treeOf(2), changes, changes, async (left, right, first, second) => {
      const all = (l: Directory, r: Directory) => directory({ left: l, right: r, "left ": file("between\n") });
      const [l, r] = [changed(left, first), changed(right, second)];
      const merged = await merge(all(left, right), all(l, right), all(left, r));
      expect(merged.whys).toEqual([]);
      expect(key(merged.tree)).toBe(key(all(l, r)));
      expect((await merge(all(left, right), all(left, r), all(l, right))).id).toBe(merged.id);
    }),
    params(2000, 200),
  );
});

describe("files", () => {
  const root = (a: Node) => directory({ a });

  test("merge content and mode each by itself", async () => {
    const base = root(file("1\n2\n3\n"));
    const edited = (text: string, mode = 0o644) => root(file(text, mode));
    expect(await clean(base, edited("0\n2\n3\n"), edited("1\n2\n4\n"))).toEqual(edited("0\n2\n4\n"));
    expect(await clean(base, edited("0\n2\n3\n"), edited("1\n2\n3\n", 0o755))).toEqual(edited("0\n2\n3\n", 0o755));
    expect(await clean(base, edited("0\n2\n3\n", 0o755), edited("1\n2\n4\n", 0o755))).toEqual(
      edited("0\n2\n4\n", 0o755),
    );
    expect((await merge(base, edited("0\n2\n3\n"), edited("1\n3\n3\n"))).whys).toEqual(["a: content"]);
    // The contents would merge; ours stays as a whole all the same.
    const modes = await merge(base, edited("0\n2\n3\n", 0o755), edited("1\n2\n4\n", 0o600));
    expect(modes.whys).toEqual(["a: mode"]);
    expect(modes.tree).toEqual(edited("0\n2\n3\n", 0o755));
  });

  test("added on both sides: equal is one, different is a conflict", async () => {
    expect(await clean(directory(), root(file("x\n")), root(file("x\n")))).toEqual(root(file("x\n")));
    expect((await merge(directory(), root(file("x\n")), root(file("x\ny\n")))).whys).toEqual(["a: add/add"]);
    expect((await merge(directory(), root(file("x\n")), root(file("x\n", 0o755)))).whys).toEqual(["a: mode"]);
    expect((await merge(null, root(file("x\n")), root(file("y\n")))).whys).toEqual(["a: add/add"]);
    expect((await merge(root(link("x")), root(file("x\n")), root(file("y\n")))).whys).toEqual(["a: add/add"]);
  });

  test("removed on one side: gone if the other left it, else a conflict, also if only its mode changed", async () => {
    const base = root(file("x\n"));
    expect(await clean(base, directory(), base)).toEqual(directory());
    expect(await clean(base, directory(), directory())).toEqual(directory());
    const modified = await merge(base, directory(), root(file("y\n")));
    expect(modified.whys).toEqual(["a: modify/delete"]);
    expect(modified.tree).toEqual(directory());
    expect(modified.conflicts[0]).toMatchObject({ base: { type: "f" }, ours: null, theirs: { type: "f" } });
    // Renamed on one side: the new name is there, with nothing taken for the old one.
    const renamed = directory({ b: file("x\n"), c: file("c") });
    expect(await clean(directory({ a: file("x\n"), c: file("c") }), base, renamed)).toEqual(
      directory({ b: file("x\n") }),
    );
    expect((await merge(base, root(file("x\n", 0o755)), directory())).tree).toEqual(root(file("x\n", 0o755)));
    expect((await merge(base, root(file("x\n", 0o755)), directory())).whys).toEqual(["a: modify/delete"]);
  });

  test("binary ones conflict where both sides changed them", async () => {
    const binary = (head: string, tail: string) => root(file(`${head}\nmiddle\0\n${tail}\n`));
    expect((await merge(binary("a", "b"), binary("A", "b"), binary("a", "B"))).whys).toEqual(["a: binary"]);
    expect(await clean(binary("a", "b"), binary("A", "b"), binary("A", "b"))).toEqual(binary("A", "b"));
  });

  test("large ones merge by lines up to 8 MiB, and may grow into chunks and shrink back", async () => {
    const lines = (n: number) => Array.from({ length: n }, (_, i) => `line ${i} of a large file`);
    const written = (all: string[]) => root(file(`${all.join("\n")}\n`));
    const large = lines(60_000);
    const [head, tail] = [large.with(0, "changed first"), large.with(-1, "changed last")];
    expect(await clean(written(large), written(head), written(tail))).toEqual(written(head.with(-1, "changed last")));
    // Ours has outgrown one object, theirs not.
    const few = lines(1000);
    const grown = [...lines(59_000).map((line) => `new ${line}`), ...few];
    expect(await clean(written(few), written(grown), written(few.with(-1, "end")))).toEqual(
      written(grown.with(-1, "end")),
    );
    expect(await clean(written(grown), written(few), written(grown.with(-1, "end")))).toEqual(
      written(few.with(-1, "end")),
    );

    const huge = lines(400_000);
    const objects = memoryObjects();
    const read: Hash[] = [];
    const watched = { ...objects, get: recorded(objects, read) };
    const ids = [];
    for (const all of [huge, huge.with(0, "first"), huge.with(-1, "last")])
      ids.push(await store(objects, written(all)));
    const merged = await mergeTrees(watched, ids[0]!, ids[1]!, ids[2]!);
    expect(merged.conflicts.map((c) => c.why)).toEqual(["content"]);
    expect(merged.tree).toBe(ids[1]);
    // Three trees and three lists of chunks say that it is too large.
    expect(read.length).toBe(6);
  });
});

describe("links and other sorts", () => {
  const root = (a?: Node) => directory(a ? { a } : {});
  test("links merge by their target, never by lines", async () => {
    expect(await clean(root(link("x")), root(link("y")), root(link("x")))).toEqual(root(link("y")));
    expect((await merge(root(link("x")), root(link("y")), root(link("z")))).whys).toEqual(["a: content"]);
    expect((await merge(root(), root(link("y")), root(link("z")))).whys).toEqual(["a: add/add"]);
    expect((await merge(root(link("x")), root(link("y")), root())).whys).toEqual(["a: modify/delete"]);
  });

  test("different sorts at one name conflict, with ours in place and all of theirs in the conflict", async () => {
    expect((await merge(root(), root(link("y")), root(file("y")))).whys).toEqual(["a: type"]);
    expect((await merge(root(file("x")), root(link("y")), root(file("y")))).whys).toEqual(["a: type"]);
    expect(
      (await merge(root(file("x")), root(directory({ p: file("p") })), root(directory({ q: file("q") })))).whys,
    ).toEqual(["a: type"]);
    for (const base of [root(), root(file("x")), root(directory({ p: file("p"), r: file("r") }))]) {
      const objects = memoryObjects();
      const theirs = directory({ p: file("P"), q: file("q") });
      const merged = await merge(base, root(file("y")), root(theirs), objects);
      expect(merged.whys).toEqual(["a: directory/file"]);
      expect(merged.tree).toEqual(root(file("y")));
      expect(await load(objects, merged.conflicts[0]!.theirs!)).toEqual(theirs);
    }
  });
});

describe("directories", () => {
  const kept = { keep: file("keep\n") };
  const root = (d?: Node) => directory(d ? { ...kept, d } : kept);
  const base = root(directory({ x: file("x\n"), y: file("y\n"), e: directory() }));

  test("removed on one side and left alone on the other is gone", async () => {
    expect(await clean(base, root(), base)).toEqual(root());
    expect(await clean(base, base, root())).toEqual(root());
    // Also where the other side only removed some of it, or all but the directory itself.
    expect(await clean(base, root(directory({ x: file("x\n") })), root())).toEqual(root());
    expect(await clean(base, root(directory()), root())).toEqual(root());
  });

  test("removed on one side: what the other added stays, what it changed is a conflict", async () => {
    const added = directory({ x: file("x\n"), y: file("y\n"), e: directory(), n: file("new\n") });
    expect(await clean(base, root(), root(added))).toEqual(root(directory({ n: file("new\n") })));
    expect(await clean(base, root(added), root())).toEqual(root(directory({ n: file("new\n") })));
    const both = directory({ x: file("X\n"), y: file("y\n"), e: directory({ n: directory() }) });
    const merged = await merge(base, root(), root(both));
    expect(merged.whys).toEqual(["d/x: modify/delete"]);
    expect(merged.tree).toEqual(root(directory({ e: directory({ n: directory() }) })));
    const back = await merge(base, root(both), root());
    expect(back.whys).toEqual(["d/x: modify/delete"]);
    expect(back.tree).toEqual(root(directory({ x: file("X\n"), e: directory({ n: directory() }) })));
  });

  test("empty ones are entries: added, kept and removed", async () => {
    expect(await clean(root(), root(directory()), root())).toEqual(root(directory()));
    expect(await clean(root(directory()), root(), root(directory()))).toEqual(root());
    expect(await clean(root(directory()), root(directory()), directory({ d: directory() }))).toEqual(
      directory({ d: directory() }),
    );
    // Each side removed one of two files: the directory was removed by neither.
    const two = root(directory({ x: file("x\n"), y: file("y\n") }));
    expect(await clean(two, root(directory({ x: file("x\n") })), root(directory({ y: file("y\n") })))).toEqual(
      root(directory()),
    );
  });

  test("their own modes merge too, beside their entries", async () => {
    const d = (mode: number, more = {}) => root(directory({ x: file("x\n"), ...more }, mode));
    expect(await clean(d(0o755), d(0o700), d(0o755, { n: file("n") }))).toEqual(d(0o700, { n: file("n") }));
    const merged = await merge(d(0o755), d(0o700, { o: file("o") }), d(0o775, { t: file("t") }));
    expect(merged.whys).toEqual(["d: mode"]);
    expect(merged.tree).toEqual(d(0o700, { o: file("o"), t: file("t") }));
    const gone = await merge(d(0o755), root(), d(0o700));
    expect(gone.whys).toEqual(["d: modify/delete"]);
    expect(gone.tree).toEqual(root());
    const stays = await merge(d(0o755), d(0o700), root());
    expect(stays.whys).toEqual(["d: modify/delete"]);
    expect(stays.tree).toEqual(root(directory({}, 0o700)));
    // Something new needs the directory: it has the mode of the only side that has it.
    const needed = await merge(d(0o755), root(), d(0o700, { n: file("n") }));
    expect(needed.whys).toEqual(["d: modify/delete"]);
    expect(needed.tree).toEqual(root(directory({ n: file("n") }, 0o700)));
    const roots = await merge(directory({}, 0o755), directory({}, 0o700), directory({ n: file("n") }, 0o775));
    expect(roots.whys).toEqual([": mode"]);
    expect(roots.tree).toEqual(directory({ n: file("n") }, 0o700));
  });

  test("of many entries, in the order of their bytes, with names that are no UTF-8", async () => {
    const objects = memoryObjects();
    const id = await objects.put(Buffer.from("x"));
    const tree = (which: (n: number) => boolean) => {
      const entries: Entry[] = [];
      for (let n = 0; n < 30_000; n++)
        if (which(n))
          entries.push({
            type: "f",
            mode: 0o644,
            name: Buffer.concat([Buffer.from([0x80 + (n % 128)]), Buffer.from(`\n${n}`)]),
            id,
          });
      return writeTree(objects, { mode: 0o755, entries: entries.sort((a, b) => Buffer.compare(a.name, b.name)) });
    };
    const base = await tree((n) => n % 2 === 0);
    const merged = await mergeTrees(
      objects,
      base,
      await tree((n) => n % 2 === 0 || n % 3 === 0),
      await tree((n) => n % 4 === 0),
    );
    expect(merged).toEqual({
      tree: await tree((n) => (n % 2 === 0 || n % 3 === 0) && (n % 2 !== 0 || n % 4 === 0)),
      conflicts: [],
    });
  });

  test("2000 deep", async () => {
    const objects = memoryObjects();
    const deep = async (bottom: Directory["has"]): Promise<Hash> => {
      let id = await store(objects, directory(bottom));
      for (let i = 0; i < 2000; i++) {
        const entries: Entry[] = [{ type: "d", mode: 0, name: Buffer.from("d"), id }];
        id = await writeTree(objects, { mode: 0o755, entries });
      }
      return id;
    };
    const base = await deep({});
    const merged = await mergeTrees(
      objects,
      base,
      await deep({ o: file("o"), c: file("1") }),
      await deep({ t: file("t"), c: file("2") }),
    );
    expect(merged.tree).toBe(await deep({ o: file("o"), t: file("t"), c: file("1") }));
    expect(merged.conflicts.map((c) => c.path.toString())).toEqual([`${"d/".repeat(2000)}c`]);
    // One side removed it all, the other added at the bottom.
    const gone = await mergeTrees(objects, base, await store(objects, directory()), await deep({ t: file("t") }));
    expect(gone).toEqual({ tree: await deep({ t: file("t") }), conflicts: [] });
  });
});

test("only what both sides changed is read", async () => {
  const objects = memoryObjects();
  const many = (word: string): Directory["has"] =>
    Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`f${i}`, file(`${word} ${i}\n`)]));
  const of = (o: string, t: string, both: string) =>
    directory({
      untouched: directory(many("u")),
      ours: directory(many(o)),
      theirs: directory(many(t)),
      both: directory({ ...many("b"), f0: file(both) }),
    });
  const ids: Hash[] = [];
  for (const tree of [of("o", "t", "1\n2\n3\n"), of("O", "t", "0\n2\n3\n"), of("o", "T", "1\n2\n4\n")])
    ids.push(await store(objects, tree));
  const read: Hash[] = [];
  const watched = { ...objects, get: recorded(objects, read) };
  const puts = objects.puts;
  const merged = await mergeTrees(watched, ids[0]!, ids[1]!, ids[2]!);
  expect(merged).toEqual({ tree: await store(objects, of("O", "T", "0\n2\n4\n")), conflicts: [] });
  // The root and `both` of each of the three, and the three versions of both/f0.
  expect(read.length).toBe(9);
  expect(new Set(read).size).toBe(9);
  expect(puts).toBeGreaterThan(0);
});

test("a content that was forgotten is a conflict where it is needed, one that is missing an error", async () => {
  const objects = memoryObjects();
  const of = (text: string) => store(objects, directory({ a: file(text), b: file("b\n") }));
  const [base, ours, theirs] = [await of("1\n2\n3\n"), await of("0\n2\n3\n"), await of("1\n2\n4\n")];
  const content = (await readTree(objects, base)).entries[0]!.id;
  const forgets = {
    ...objects,
    get: async (id: Hash) => {
      if (id === content) throw new Forgotten(id);
      return objects.get(id);
    },
  };
  const merged = await mergeTrees(forgets, base, ours, theirs);
  expect(merged.tree).toBe(ours);
  expect(merged.conflicts.map((c) => c.why)).toEqual(["content"]);
  const lacks = { ...objects, get: async (id: Hash) => (id === content ? null : objects.get(id)) };
  await expect(mergeTrees(lacks, base, ours, theirs)).rejects.toThrow(Missing);
  expect((await mergeTrees(lacks, base, ours, base)).tree).toBe(ours);
});

describe("several bases", () => {
  const build = async (objects: MemoryObjects, ...roots: Directory[]) => {
    const ids: Hash[] = [];
    for (const root of roots) ids.push(await store(objects, root));
    return ids;
  };

  test("none are null, one is itself, and where they agree or merge the base is their merge", async () => {
    const objects = memoryObjects();
    const of = (text: string, more: Directory["has"] = {}) => directory({ a: file(text), ...more });
    const [ancestor, one, two, both] = (await build(
      objects,
      of("1\n2\n3\n"),
      of("0\n2\n3\n", { o: link("o") }),
      of("1\n2\n4\n", { t: directory() }),
      of("0\n2\n4\n", { o: link("o"), t: directory() }),
    )) as [Hash, Hash, Hash, Hash];
    expect(await mergeBase(objects, [])).toBe(null);
    expect(await mergeBase(objects, [one])).toBe(one);
    expect(await mergeBase(objects, [one, one])).toBe(one);
    expect(await mergeBase(objects, [one, two], ancestor)).toBe(both);
    expect(await mergeBase(objects, [one, two, ancestor, both], ancestor)).toBe(both);
  });

  test("where they disagree the sides must agree, or it is a conflict; the order of two bases does not matter", async () => {
    const changes = fc.array(change, { maxLength: 4 });
    const pick = fc.constantFrom("one", "two", "ancestor");
    await fc.assert(
      fc.asyncProperty(
        three,
        pick,
        pick,
        changes,
        changes,
        fc.boolean(),
        async (bases, fromO, fromT, co, ct, known) => {
          const tips = { ancestor: bases.base, one: bases.ours, two: bases.theirs };
          const [ours, theirs] = [changed(tips[fromO as "one"], co), changed(tips[fromT as "one"], ct)];
          const objects = memoryObjects();
          const [a, b1, b2, o, t] = (await build(objects, tips.ancestor, tips.one, tips.two, ours, theirs)) as [
            Hash,
            Hash,
            Hash,
            Hash,
            Hash,
          ];
          const base = await mergeBase(objects, [b1, b2], known ? a : null);
          expect(await mergeBase(objects, [b2, b1], known ? a : null)).toBe(base);
          const merged = await mergeTrees(objects, base, o, t);
          const open = merged.conflicts.map((c) => c.path.toString());
          const tree = await load(objects, { type: "d", mode: 0, id: merged.tree });

          const disputed: string[] = [];
          if (known) {
            for (const c of (await mergeTrees(objects, a, b1, b2)).conflicts)
              if (c.why !== "content" && !ownModeOnly(c)) disputed.push(c.path.toString());
          } else {
            const [f1, f2] = [flat(tips.one), flat(tips.two)];
            for (const at of new Set([...f1.keys(), ...f2.keys()])) {
              const [n1, n2] = [f1.get(at), f2.get(at)];
              if (n1?.is === "directory" && n2?.is === "directory") continue;
              if (key(n1) !== key(n2)) disputed.push(at);
            }
          }
          for (const at of disputed) {
            if (key(find(ours, at)) === key(find(theirs, at))) continue;
            expect(
              open.some((path) => within(path, at) || within(at, path)),
              `${at}, in dispute, conflicts`,
            ).toBe(true);
          }
          // And the dispute itself never gets into the result.
          expect(key(tree)).not.toContain("shepherd: the bases");
        },
      ),
      params(10_000, 700),
    );
  });

  test("lines that the bases dispute: kept if both sides settled on the same, in conflict if not, even if one side has a base's own lines", async () => {
    const objects = memoryObjects();
    const of = (text: string) => directory({ a: file(text) });
    const [a, b1, b2] = (await build(
      objects,
      of("top\n\n\nend\n"),
      of("top\n\nA\nL\nX\nM\n\nend\n"),
      of("top\n\nB\nL\nZ\nM\n\nend\n"),
    )) as [Hash, Hash, Hash];
    const base = await mergeBase(objects, [b1, b2], a);
    const outcome = async (o: string, t: string) => {
      const [ours, theirs] = (await build(objects, of(o), of(t))) as [Hash, Hash];
      const { tree, conflicts } = await mergeTrees(objects, base, ours, theirs);
      return conflicts.length > 0
        ? conflicts.map((c) => c.why)
        : find(await load(objects, { type: "d", mode: 0, id: tree }), "a");
    };
    // Both settled on the same lines; each changed another line besides.
    expect(await outcome("TOP\n\nA\nL\nZ\nM\n\nend\n", "top\n\nA\nL\nZ\nM\n\nEND\n")).toEqual(
      file("TOP\n\nA\nL\nZ\nM\n\nEND\n"),
    );
    // Ours has all lines of the first base, theirs mixes the two. A base that held the lines of both, between markers, would let this pass.
    expect(await outcome("top\n\nA\nL\nX\nM\n\nend\n", "top\n\nA\nL\nZ\nM\n\nend\n")).toEqual(["content"]);
    expect(await outcome("top\n\nA\nL\nX\nM\n\nend\n", "top\n\nB\nL\nZ\nM\n\nend\n")).toEqual(["content"]);
  });

  test("a file that one base removed and the other kept does not come back, nor go, unasked", async () => {
    const objects = memoryObjects();
    const [withIt, without] = (await build(objects, directory({ a: file("a\n") }), directory())) as [Hash, Hash];
    // Not known who did what: the sides decide, together.
    const unknown = await mergeBase(objects, [withIt, without]);
    expect((await mergeTrees(objects, unknown, withIt, without)).conflicts.map((c) => c.why)).toEqual([
      "modify/delete",
    ]);
    expect(await mergeTrees(objects, unknown, withIt, withIt)).toEqual({ tree: withIt, conflicts: [] });
    // Known: the second base removed it, so the side that has it put it back, and the other left it removed.
    const removed = await mergeBase(objects, [withIt, without], withIt);
    expect(await mergeTrees(objects, removed, withIt, without)).toEqual({ tree: withIt, conflicts: [] });
  });

  test("lines and mode in dispute: the sides must agree on both", async () => {
    const objects = memoryObjects();
    const of = (text: string, mode: number) => directory({ a: file(text, mode) });
    const [a, b1, b2, o, t] = (await build(
      objects,
      of("1\n2\n", 0o444),
      of("1\nA\n", 0o755),
      of("1\nB\n", 0o600),
      of("1\nA\n", 0o644),
      of("1\nA\n", 0o600),
    )) as [Hash, Hash, Hash, Hash, Hash];
    const base = await mergeBase(objects, [b1, b2], a);
    expect((await mergeTrees(objects, base, o, t)).conflicts.map((c) => c.why)).toEqual(["mode"]);
    expect(await mergeTrees(objects, base, o, o)).toEqual({ tree: o, conflicts: [] });
  });

  test("a directory's own mode in dispute is one that the sides must agree on", async () => {
    const objects = memoryObjects();
    const [a, b1, b2] = (await build(objects, directory({}, 0o755), directory({}, 0o700), directory({}, 0o775))) as [
      Hash,
      Hash,
      Hash,
    ];
    const base = await mergeBase(objects, [b1, b2], a);
    expect((await mergeTrees(objects, base, b1, b2)).conflicts.map((c) => c.why)).toEqual(["mode"]);
    expect(await mergeTrees(objects, base, b1, b1)).toEqual({ tree: b1, conflicts: [] });
  });
});

// Git, for trees that it can hold: no empty directories, no modes of directories, and nothing renamed.

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "merge-"));
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));
const env = { PATH: process.env.PATH, HOME: scratch, GIT_CONFIG_NOSYSTEM: "1", GIT_CEILING_DIRECTORIES: scratch };
const git = (args: string[], input?: string) =>
  spawnSync("git", args, { cwd: scratch, env, ...(input === undefined ? {} : { input }) });
const hasMergeTree = git(["merge-tree", "-h"]).stdout?.includes("--write-tree") === true;

describe.skipIf(!hasMergeTree)("agrees with `git merge-tree`", { timeout: 600_000 }, () => {
  /**
   * Not compared: a name that is a directory in one tree and not in another. Git goes by files, so where one side removed a file and the other put
   * a directory in its place it takes both; here both changed the entry, which is a conflict.
   */
  const comparable = (...roots: Directory[]) => {
    const flats = roots.map((root) => flat(root));
    const sorts = (at: string) =>
      new Set(flats.map((f) => f.get(at)).flatMap((node) => (node ? [node.is === "directory"] : [])));
    return flats.every((f) => [...f.keys()].every((at) => sorts(at).size < 2));
  };
  /**
   * The first line and the rest of each file are lines of their own, far apart, so that there is one shortest script: `git merge` compares by
   * another algorithm than `git merge-file`. And most of each file says where it is, so that nothing looks like a renamed file: the search for
   * them can not be turned off.
   */
  const prepared = (root: Directory, at = ""): Directory => {
    const has: Directory["has"] = {};
    for (const [name, node] of Object.entries(root.has)) {
      const path = `${at}/${name}`;
      if (node.is === "directory") {
        const inner = prepared(node, path);
        if (Object.keys(inner.has).length > 0) has[name] = inner;
      } else if (node.is === "link") has[name] = link(path + node.target);
      else {
        const [first, ...rest] = node.text.split("\n");
        const text = [first, ...Array.from({ length: 40 }, (_, i) => path + i), JSON.stringify(rest)].join("\n");
        has[name] = file(`${text}\n`, node.mode & 0o100 ? 0o755 : 0o644);
      }
    }
    return directory(has);
  };

  test("on random trees: clean or conflict, and the files where it is clean", async () => {
    const cases = fc
      .sample(three, { numRuns: runs(2000, 250), seed })
      .map(({ base, ours, theirs }) => ({ base: prepared(base), ours: prepared(ours), theirs: prepared(theirs) }))
      .filter(({ base, ours, theirs }) => comparable(base, ours, theirs));
    expect(git(["init", "-q", "--bare", "."]).status).toBe(0);
    let stream = "";
    const commit = (name: string, root: Directory, parent?: string) => {
      stream += `commit refs/heads/${name}\ncommitter t <t> 0 +0000\ndata 0\n${parent ? `from refs/heads/${parent}\ndeleteall\n` : ""}`;
      for (const [at, node] of flat(root)) {
        if (node.is === "directory") continue;
        const data = node.is === "link" ? node.target : node.text;
        const mode = node.is === "link" ? "120000" : node.mode === 0o755 ? "100755" : "100644";
        stream += `M ${mode} inline ${at}\ndata ${data.length}\n${data}\n`;
      }
      stream += "\n";
    };
    for (const [i, c] of cases.entries()) {
      commit(`b${i}`, c.base);
      commit(`o${i}`, c.ours, `b${i}`);
      commit(`t${i}`, c.theirs, `b${i}`);
      commit(`r${i}`, (await merge(c.base, c.ours, c.theirs)).tree);
    }
    expect(git(["fast-import", "--quiet"], stream).stderr.toString()).toBe("");
    const script = `i=0; while [ $i -lt ${cases.length} ]; do
      tree=$(git merge-tree --write-tree --no-messages o$i t$i); code=$?
      echo $code $(echo "$tree" | head -n 1) $(git rev-parse r$i^{tree}); i=$((i+1)); done`;
    const answers = spawnSync("sh", ["-c", script], { cwd: scratch, env }).stdout.toString().trim().split("\n");
    const counts = { clean: 0, conflict: 0 };
    for (const [i, c] of cases.entries()) {
      const [code, theirTree, ourTree] = answers[i]!.split(" ");
      const { whys } = await merge(c.base, c.ours, c.theirs);
      expect({ conflict: whys.length > 0, whys }, JSON.stringify(c)).toEqual({ conflict: code !== "0", whys });
      if (whys.length > 0) counts.conflict++;
      else {
        counts.clean++;
        expect(ourTree, JSON.stringify(c)).toBe(theirTree);
      }
    }
    expect(Math.min(counts.clean, counts.conflict)).toBeGreaterThan(10);
  });
});
