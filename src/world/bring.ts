/** Brings the difference of two trees into a directory in which processes may be at work. */
import * as fs from "node:fs";
import type { Hash, Objects } from "../trace/ports.ts";
import { readContent } from "./content.ts";
import { absolute, arg, closeDir, type Dir, openDir, openRoot } from "./dirs.ts";
import { leftOuts } from "./left-out.ts";
import { missing } from "./missing.ts";
import { pace } from "./pace.ts";
import { placeFile, placeLink } from "./place.ts";
import { located } from "./plan.ts";
import { below, makeWritable, type Place, type Remover, remove } from "./remove.ts";
import { type Entry, readTree, type Tree } from "./tree.ts";

interface Bring {
  objects: Objects;
  remover: Remover;
}

/**
 * Makes in directory `path` what tree `to` has otherwise than tree `from`. All else stays as it is, whatever it holds: a process may have it
 * open. A file is replaced by a rename, so whoever reads has the old one or the new one, whole. Directories named `.git` are none of its business.
 */
export async function bringFiles(path: string | Buffer, from: Hash, to: Hash, objects: Objects): Promise<void> {
  const root = absolute(path);
  const dir = openRoot(root);
  try {
    const remover: Remover = {
      ...pace({}),
      device: fs.fstatSync(dir.fd, { bigint: true }).dev,
      leftOuts: leftOuts(root),
      sparesGit: true,
      kept: () => {},
      removed: () => {},
    };
    await inDirectory({ objects, remover }, { dir, key: "", inGit: false, depth: 0 }, from, to);
  } finally {
    closeDir(dir);
  }
}

const NOTHING: Tree = { mode: 0o700, entries: [] };

async function inDirectory(bring: Bring, place: Place, from: Hash | null, to: Hash): Promise<void> {
  if (from === to) return;
  const { objects } = bring;
  const { dir, key } = place;
  const old = from === null ? NOTHING : await located(() => readTree(objects, from), key);
  const next = await located(() => readTree(objects, to), key);
  makeWritable(dir);
  const before = new Map(old.entries.map((entry) => [entry.name.toString("latin1"), entry]));
  const after = new Map(next.entries.map((entry) => [entry.name.toString("latin1"), entry]));
  for (const name of before.keys())
    if (!after.has(name)) await located(() => remove(bring.remover, place, name), key, name);
  for (const [name, entry] of after) {
    const was = before.get(name);
    if (was && was.type === entry.type && was.mode === entry.mode && was.id === entry.id) continue;
    await located(() => put(bring, place, name, was, entry), key, name);
  }
  fs.fchmodSync(dir.fd, next.mode);
}

async function put(bring: Bring, place: Place, name: string, was: Entry | undefined, entry: Entry): Promise<void> {
  const { dir } = place;
  if (entry.type === "d") {
    const there = fs.lstatSync(arg(dir.at + name), { throwIfNoEntry: false });
    if (there && !there.isDirectory()) await remove(bring.remover, place, name);
    if (!there?.isDirectory()) fs.mkdirSync(arg(dir.at + name), 0o700);
    const inner = openDir(dir, name);
    try {
      await inDirectory(bring, below(place, inner, name), was?.type === "d" ? was.id : null, entry.id);
    } finally {
      closeDir(inner);
    }
    return;
  }
  if (fs.lstatSync(arg(dir.at + name), { throwIfNoEntry: false })?.isDirectory())
    await remove(bring.remover, place, name);
  await write(bring.objects, dir, name, entry);
}

async function write(objects: Objects, dir: Dir, name: string, { type, mode, id }: Entry): Promise<void> {
  if (type === "l") {
    placeLink(dir, name, (await objects.get(id)) ?? missing(id, "content"), { ns: null }, true);
    return;
  }
  const file = placeFile(dir, name, mode, true);
  try {
    for await (const piece of readContent(objects, type as "f" | "F", id)) file.write(piece);
    file.finish({ mode, ns: null });
  } finally {
    file.close();
  }
}
