/**
 * Random file trees and what happens to them, made and read with plain system calls only, so that they can judge the code that captures and
 * restores trees. Paths and names are byte strings (see src/world/dirs.ts).
 */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { horizon, settled } from "../../src/world/clock.ts";
import { closeDir, openRoot } from "../../src/world/dirs.ts";
import { move } from "./move.ts";
import { removing } from "./remove.ts";

export const isRoot = process.geteuid?.() === 0;

const b = (bytes: string): Buffer => Buffer.from(bytes, "latin1");

/** Runs `body` with a new directory, which is removed afterwards whatever is in it. @param where it lies: with other temporary files without it */
export async function inTemporary<T>(body: (dir: string) => Promise<T> | T, where = os.tmpdir()): Promise<T> {
  const dir = fs.mkdtempSync(join(where, "shepherd-"));
  try {
    return await body(dir);
  } finally {
    removing(() => wipe(dir));
  }
}

/** Runs `body` as another user, who owns everything below `dir`. */
export async function as<T>(uid: number, dir: string, body: () => Promise<T>): Promise<T> {
  execFileSync("chown", ["-R", String(uid), dir]);
  process.seteuid!(uid);
  try {
    return await body();
  } finally {
    process.seteuid!(0);
  }
}

/** Resolves when the stamps of everything written so far are old enough to prove that it was not written since. */
export async function settle(): Promise<void> {
  const dir = fs.mkdtempSync(join(os.tmpdir(), "shepherd-"));
  const root = openRoot(dir);
  const now = horizon(root);
  const written = fs.fstatSync(root.fd).ctimeMs;
  while (!settled(written, written, now())) await sleep(5);
  closeDir(root);
  fs.rmdirSync(dir);
}

/** Removes a directory that its owner may have shut. */
export function wipe(path: string): void {
  const stat = fs.lstatSync(b(path), { throwIfNoEntry: false });
  if (!stat) return;
  if (!stat.isDirectory()) {
    fs.unlinkSync(b(path));
    return;
  }
  fs.chmodSync(b(path), 0o700);
  for (const name of fs.readdirSync(b(path), "latin1")) wipe(`${path}/${name}`);
  fs.rmdirSync(b(path));
}

/** What `look` sees of an entry. */
export interface Seen {
  type: "file" | "link" | "dir" | "other";
  mode: number;
  /** Content of a file, target of a link. */
  bytes: string;
  ns: bigint;
}

/** Everything below a directory, by path; the directory itself is "". */
export function look(root: string, path = "", seen = new Map<string, Seen>()): Map<string, Seen> {
  const full = b(path === "" ? root : `${root}/${path}`);
  const stat = fs.lstatSync(full, { bigint: true });
  const mode = Number(stat.mode) & 0o7777;
  const type = stat.isFile() ? "file" : stat.isSymbolicLink() ? "link" : stat.isDirectory() ? "dir" : "other";
  const bytes =
    type === "file" ? fs.readFileSync(full, "latin1") : type === "link" ? fs.readlinkSync(full, "latin1") : "";
  seen.set(path, { type, mode: type === "link" ? 0 : mode, bytes, ns: stat.mtimeNs });
  if (type === "dir")
    for (const name of fs.readdirSync(full, "latin1")) look(root, path === "" ? name : `${path}/${name}`, seen);
  return seen;
}

/** The same with times cut to what can be restored, and without what no state has. */
export function restorable(seen: ReadonlyMap<string, Seen>): [string, Seen][] {
  return [...seen]
    .filter(([, { type }]) => type !== "other")
    .map(([path, each]): [string, Seen] => [path, { ...each, ns: (each.ns / 1000n) * 1000n }])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

export const withoutTimes = (seen: readonly [string, Seen][]): [string, Seen][] =>
  seen.map(([path, each]) => [path, { ...each, ns: 0n }]);

const long = "n".repeat(255);
export const NAMES = ["a", "b", "c", ".git", ".env", "new\nline", '"q\\', "\xff\xfe", "\xc3\xa9", "-rf", long];
export const TARGETS = ["a", "../b", "/etc/passwd", "nowhere", "..", "/", ".", "\xff\n", `${"x/".repeat(200)}y`];

// Often the same ones, so that programs meet.
const name = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("a", "b", "a", "b", ".git") },
  { weight: 1, arbitrary: fc.constantFrom(...NAMES) },
);
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
// Few contents of few sizes, so that different ones often have the same size.
const content = fc.oneof(
  fc.constantFrom("", "one\n", "two\n", "six\n", "\0\x01\xff\xfe"),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
);
// Who is not root could not read back what nobody may read.
const mode = fc.constantFrom(0o755, 0o700, 0o2755, 0o1777, 0o7777, ...(isRoot ? [0o644, 0o444, 0o000, 0o4711] : []));
const time = fc.bigInt({ min: -(10n ** 15n), max: 2n ** 61n });

export type Op =
  | { op: "write"; path: string; content: string; mode: number }
  | { op: "overwrite" | "append"; path: string; content: string }
  | { op: "link"; path: string; target: string }
  | { op: "mkdir" | "remove"; path: string }
  | { op: "swap"; path: string }
  | { op: "rename" | "hardlink"; path: string; to: string }
  | { op: "chmod"; path: string; mode: number }
  | { op: "touch"; path: string; ns: bigint };

const oneOp: fc.Arbitrary<Op> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ op: fc.constant("write" as const), path, content, mode }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constantFrom("overwrite" as const, "append" as const), path, content }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("link" as const), path, target: fc.constantFrom(...TARGETS) }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constantFrom("mkdir" as const, "remove" as const), path }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constantFrom("rename" as const, "rename" as const, "hardlink" as const),
      path,
      to: path,
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("swap" as const), path }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("chmod" as const), path, mode }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("touch" as const), path, ns: time }) },
);

/** A program of changes. Some of them will not be possible where it runs; these do nothing. */
export const program = (maxLength = 12): fc.Arbitrary<Op[]> => fc.array(oneOp, { maxLength });

/** Runs a program in `root`. It never leaves it: a path that leads through a link is not taken. */
export function run(root: string, ops: readonly Op[]): void {
  for (const op of ops) {
    try {
      one(root, op);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    }
  }
}

function one(root: string, op: Op): void {
  const full = b(`${root}/${op.path}`);
  if (!isInside(root, op.path) || ("to" in op && !isInside(root, op.to))) return;
  const isLink = fs.lstatSync(full, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
  // These would go through a link.
  if (isLink && ["write", "overwrite", "append", "chmod"].includes(op.op)) return;
  if (op.op === "write" || op.op === "link" || op.op === "mkdir") makeParents(root, op.path);
  if (op.op === "rename" || op.op === "hardlink") makeParents(root, op.to);
  if (op.op === "write") {
    fs.writeFileSync(full, b(op.content));
    fs.chmodSync(full, op.mode);
  } else if (op.op === "overwrite") {
    // The same size and, afterwards, the same time: only the time of change tells.
    const stat = fs.lstatSync(full);
    const fd = fs.openSync(full, "r+");
    fs.writeSync(fd, Buffer.alloc(stat.size, b(op.content || "z")));
    fs.futimesSync(fd, stat.atimeMs / 1000, stat.mtimeMs / 1000);
    fs.closeSync(fd);
  } else if (op.op === "append") fs.appendFileSync(full, b(op.content), { flag: "r+" });
  else if (op.op === "link") fs.symlinkSync(b(op.target), full);
  else if (op.op === "mkdir") fs.mkdirSync(full);
  else if (op.op === "remove") wipe(`${root}/${op.path}`);
  else if (op.op === "rename") move(`${root}/${op.path}`, `${root}/${op.to}`);
  else if (op.op === "hardlink") fs.linkSync(full, b(`${root}/${op.to}`));
  else if (op.op === "chmod") fs.chmodSync(full, op.mode);
  else if (op.op === "touch") fs.lutimesSync(full, "1", String(Number(op.ns / 1000n) / 1e6));
  else swap(root, op.path, full);
}

/** What was a file becomes a directory that holds it; what was a directory becomes a file. */
function swap(root: string, path: string, full: Buffer): void {
  const between = b(`${root}/between`);
  move(`${root}/${path}`, `${root}/between`);
  if (fs.lstatSync(between).isDirectory()) {
    wipe(`${root}/between`);
    fs.writeFileSync(full, "was a directory");
    return;
  }
  fs.mkdirSync(full);
  fs.renameSync(between, b(`${root}/${path}/inner`));
}

function makeParents(root: string, path: string): void {
  const names = path.split("/").slice(0, -1);
  for (let i = 1; i <= names.length; i++)
    fs.mkdirSync(b(`${root}/${names.slice(0, i).join("/")}`), { recursive: true });
}

function isInside(root: string, path: string): boolean {
  const names = path.split("/");
  for (let i = 1; i < names.length; i++) {
    const stat = fs.lstatSync(b(`${root}/${names.slice(0, i).join("/")}`), { throwIfNoEntry: false });
    if (stat?.isSymbolicLink()) return false;
  }
  return true;
}
