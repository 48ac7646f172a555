/** Digests, and the algebra of workspaces: three-way merge with conflicts as values. */
import { createHash } from "node:crypto";
import type { Conflict, Workspace } from "./types.ts";

/** JSON with sorted keys: one text per value. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  let text = "";
  for (const key of Object.keys(value).sort()) {
    const field = (value as { [key: string]: unknown })[key];
    if (field !== undefined) text += `${text && ","}${JSON.stringify(key)}:${canonical(field)}`;
  }
  return `{${text}}`;
}

export const digest = (value: unknown): string =>
  createHash("sha256").update(canonical(value)).digest("hex").slice(0, 16);
export const same = (a: unknown, b: unknown): boolean => a === b || canonical(a) === canonical(b);

/** A workspace of these contents; null and undefined are absences. */
export const workspace = (entries: Iterable<readonly [string, number | null | undefined]>): Workspace =>
  Object.fromEntries(
    [...new Map(entries)].filter((e): e is [string, number] => e[1] != null).sort(([a], [b]) => (a < b ? -1 : 1)),
  );

export const edited = (w: Workspace, edits: Iterable<readonly [string, number | null | undefined]>): Workspace =>
  workspace([...Object.entries(w), ...edits]);

export const paths = (...trees: readonly Workspace[]): string[] => [...new Set(trees.flatMap(Object.keys))].sort();
export const changed = (a: Workspace, b: Workspace): string[] => paths(a, b).filter((p) => a[p] !== b[p]);

/** One value of three: the side that changed; undefined where both did, differently. */
export function pick<T>(base: T, ours: T, theirs: T): { value: T } | undefined {
  if (same(ours, theirs) || same(base, theirs)) return { value: ours };
  if (same(base, ours)) return { value: theirs };
  return undefined;
}

/** "disjoint changes commute, overlapping ones become a conflict value, never silence". A path in conflict keeps ours. */
export function threeWay(
  base: Workspace,
  ours: Workspace,
  theirs: Workspace,
): { workspace: Workspace; conflict: Conflict } {
  const merged: Array<[string, number | undefined]> = [];
  const conflict: { [path: string]: Conflict[string] } = {};
  for (const p of paths(base, ours, theirs)) {
    const picked = pick(base[p], ours[p], theirs[p]);
    merged.push([p, picked ? picked.value : ours[p]]);
    if (!picked) conflict[p] = { base: base[p] ?? null, ours: ours[p] ?? null, theirs: theirs[p] ?? null };
  }
  return { workspace: workspace(merged), conflict };
}
