/** Entries that are no part of a tree by their place: what the caller excludes, and what another file system is mounted on. */
import * as fs from "node:fs";
import { arg, bytesOf } from "./dirs.ts";

export type LeftOut = "excluded" | "mounted";

/** For each directory (by its path in the tree, "" for the root) the names of entries that are left out, and why. */
export type LeftOuts = Map<string, Map<string, LeftOut>>;

/**
 * `root` and `exclude` are absolute. Mounts are found by the kernel's list, since a mount of the same file system (a bind mount) has the
 * same device number and nobody must delete or copy what lies behind it.
 */
export function leftOuts(root: string, exclude: readonly Buffer[] = []): LeftOuts {
  const found: LeftOuts = new Map();
  const add = (base: string, path: string, why: LeftOut): void => {
    if (!path.startsWith(base)) return;
    const inside = path.slice(base.length).replace(/\/+$/, "");
    if (inside === "") return;
    const cut = inside.lastIndexOf("/");
    const parent = cut < 0 ? "" : inside.slice(0, cut);
    const names = found.get(parent) ?? new Map<string, LeftOut>();
    found.set(parent, names.set(inside.slice(cut + 1), why));
  };
  const base = root.endsWith("/") ? root : `${root}/`;
  for (const path of exclude) add(base, bytesOf(path), "excluded");
  const real = `${fs.realpathSync.native(arg(root), "latin1").replace(/\/$/, "")}/`;
  for (const path of exclude) add(real, bytesOf(path), "excluded");
  for (const path of mounts()) add(real, path, "mounted");
  return found;
}

function mounts(): string[] {
  let table: string;
  try {
    table = fs.readFileSync("/proc/self/mountinfo", "latin1");
  } catch {
    return [];
  }
  return table
    .split("\n")
    .map((line) => line.split(" ")[4])
    .filter((path) => path !== undefined)
    .map((path) =>
      path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
    );
}
