/** Small trees as values, on the disk and as objects, for tests of landing. */
import * as fs from "node:fs";
import * as os from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { LandOptions } from "../../src/run/landing/land.ts";
import { type Change, planLanding, STAGING_PREFIX } from "../../src/run/landing/plan.ts";
import type { Hash, Link, Objects } from "../../src/trace/ports.ts";
import { type Entry, writeTree } from "../../src/world/tree.ts";
import { type MemoryObjects, memoryObjects } from "./objects.ts";

/** A file, a link, or a directory by the byte strings of its names. */
export type Node = { text: string; mode: number } | { to: string } | Dir;
export interface Dir {
  mode: number;
  in: { [name: string]: Node };
}

export const file = (text: string, mode = 0o644): Node => ({ text, mode });
export const linkTo = (to: string): Node => ({ to });
export const dir = (entries: { [name: string]: Node } = {}, mode = 0o755): Dir => ({ mode, in: entries });

/** Paths with what stands there, one line each: `f 644 text`, `l target`, `d 755`. The root is `""`. */
export type Flat = Map<string, string>;

export function flatten(tree: Dir, path = "", into: Flat = new Map()): Flat {
  into.set(path, `d ${tree.mode.toString(8)}`);
  for (const [name, node] of Object.entries(tree.in)) {
    const below = path === "" ? name : `${path}/${name}`;
    if ("in" in node) flatten(node, below, into);
    else into.set(below, "to" in node ? `l ${node.to}` : `f ${node.mode.toString(8)} ${node.text}`);
  }
  return sorted(into);
}

const sorted = (flat: Flat): Flat => new Map([...flat].sort(([a], [b]) => (a < b ? -1 : 1)));

const arg = (path: string) => Buffer.from(path, "latin1");

export function onDisk(root: string, path = "", into: Flat = new Map()): Flat {
  const full = path === "" ? root : `${root}/${path}`;
  const stat = fs.lstatSync(arg(full));
  const mode = (stat.mode & 0o7777).toString(8);
  if (stat.isDirectory()) {
    into.set(path, `d ${mode}`);
    for (const name of fs.readdirSync(arg(full), "latin1")) onDisk(root, path === "" ? name : `${path}/${name}`, into);
  } else if (stat.isSymbolicLink()) into.set(path, `l ${fs.readlinkSync(arg(full), "latin1")}`);
  else if (stat.isFile()) into.set(path, `f ${mode} ${fs.readFileSync(arg(full), "latin1")}`);
  else into.set(path, "other");
  return sorted(into);
}

export function make(root: string, tree: Dir): void {
  fs.chmodSync(arg(root), 0o700);
  for (const [name, node] of Object.entries(tree.in)) {
    const path = `${root}/${name}`;
    if ("in" in node) {
      fs.mkdirSync(arg(path));
      make(path, node);
    } else if ("to" in node) fs.symlinkSync(arg(node.to), arg(path));
    else {
      fs.writeFileSync(arg(path), arg(node.text));
      fs.chmodSync(arg(path), node.mode);
    }
  }
  fs.chmodSync(arg(root), tree.mode);
}

export async function put(objects: Objects, tree: Dir): Promise<Hash> {
  const entries: Entry[] = [];
  for (const [name, node] of Object.entries(tree.in)) {
    const entry = { name: arg(name), mode: 0 };
    if ("in" in node) entries.push({ ...entry, type: "d", id: await put(objects, node) });
    else if ("to" in node) entries.push({ ...entry, type: "l", id: await objects.put(arg(node.to)) });
    else entries.push({ ...entry, type: "f", mode: node.mode, id: await objects.put(arg(node.text)) });
  }
  return writeTree(objects, { mode: tree.mode, entries });
}

/** A workspace in a temporary directory with the files of `from`, and what it takes to land `to`. */
export interface Bench {
  root: string;
  objects: MemoryObjects;
  changes: Change[];
  records: Link[];
  options: LandOptions;
  /** The content of a link of a blob. */
  read(link: Link): string;
  remove(): void;
}

let serial = 0;

/** `there` is a directory that has these files already. */
export async function bench(from: Dir, to: Dir, there?: string): Promise<Bench> {
  const root = there ?? fs.mkdtempSync(join(os.tmpdir(), "landing-"));
  const objects = memoryObjects();
  if (there === undefined) make(root, from);
  const plan = await planLanding(objects, await put(objects, from), await put(objects, to));
  const records: Link[] = [];
  return {
    root,
    objects,
    changes: plan.changes,
    records,
    options: {
      dir: root,
      id: String(++serial),
      changes: plan.changes,
      objects,
      sync: async () => {},
      journal: async (record) => {
        records.push(record);
      },
      confirm: async () => true,
    },
    read: (link) => Buffer.from(objects.map.get(link.slice(link.indexOf(":") + 1)) ?? "").toString("latin1"),
    remove: () => {
      open(root);
      fs.rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Makes directories such that whoever owns them can remove them. */
function open(path: string): void {
  fs.chmodSync(arg(path), 0o700);
  for (const name of fs.readdirSync(arg(path), "latin1"))
    if (fs.lstatSync(arg(`${path}/${name}`)).isDirectory()) open(`${path}/${name}`);
}

const NAMES = ["a", "b", "c", "d", "n\n\xff", "e"];
const MODES = [0o644, 0o755, 0o600, 0o444];

const leaf: fc.Arbitrary<Node> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(fc.constantFrom("", "one\n", "two\n", "three\n\xfe"), fc.constantFrom(...MODES))
      .map(([text, mode]) => file(text, mode)),
  },
  { weight: 1, arbitrary: fc.constantFrom("a", "../..", "/nowhere", "b/c").map(linkTo) },
);

const node = (depth: number): fc.Arbitrary<Node> =>
  depth === 0 ? leaf : fc.oneof({ weight: 2, arbitrary: leaf }, { weight: 1, arbitrary: directory(depth - 1) });

const directory = (depth: number): fc.Arbitrary<Dir> =>
  fc
    .tuple(
      fc.dictionary(fc.constantFrom(...NAMES), node(depth), { maxKeys: 5, noNullPrototype: true }),
      fc.constantFrom(0o755, 0o755, 0o755, 0o700, 0o555),
    )
    .map(([entries, mode]) => dir(entries, mode));

/** Trees small enough that two of them often have the same names, with other things under them. */
export const trees: fc.Arbitrary<Dir> = directory(3).map((tree) => ({ ...tree, mode: 0o755 }));

/** The landings of which a directory is left in a workspace: their ids. */
export const leftLandings = (root: string): string[] =>
  fs.readdirSync(root).flatMap((name) => (name.startsWith(STAGING_PREFIX) ? [name.slice(STAGING_PREFIX.length)] : []));
