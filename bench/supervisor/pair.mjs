// A pair of workers on one directory: what it begins with, what each is to change, and whether both came to exactly that and merge.
import { use } from "../lib.mjs";

const { draw } = await use("meta/supervise/policy/draw.js");
const { mergeLines } = await use("world/lines.js");

const LINES = 40;
const lines = (path) => Array.from({ length: LINES }, (_, k) => `${path} ${k + 1}`);
const BASE = ["a/one.js", "a/two.js", "b/one.js", "b/two.js", "lib/common.js", "shared.js"];

/** A tree: paths with their lines. Trees are values: nobody changes one. */
const FIRST = new Map(BASE.map((path) => [path, lines(path)]));
export const baseTree = () => FIRST;

/** @returns {number} a whole number from `from` to `to` */
export const between = (from, to, ...key) => from + Math.floor(draw(...key) * (to - from + 1));

/** Two scripts of 6 to 14 edits of lines that do not touch, a quarter of them in the file that both change. */
export function makePair(seed, k) {
  const scripts = ["a", "b"].map((side) => {
    const count = between(6, 14, seed, k, side, "edits");
    const places = [];
    for (let at = 0; at < count; at++) {
      const inShared = draw(seed, k, side, at, "where") < 0.25;
      // Each side has a half of the shared file, with a gap between the halves.
      const free = (path, from, to) =>
        Array.from({ length: Math.floor((to - from) / 3) + 1 }, (_, j) => from + 3 * j).filter(
          (line) => !places.some((each) => each.path === path && each.line === line),
        );
      const path = inShared ? "shared.js" : `${side}/${draw(seed, k, side, at, "file") < 0.5 ? "one" : "two"}.js`;
      const lines = path === "shared.js" ? (side === "a" ? free(path, 1, 16) : free(path, 24, 39)) : free(path, 1, 39);
      if (lines.length === 0) continue;
      places.push({
        path,
        line: lines[between(0, lines.length - 1, seed, k, side, at, "line")],
        text: `${side} ${at} is done`,
      });
    }
    return places;
  });
  return { seed, k, scripts };
}

/** A tree with some of its lines replaced. */
export function edited(tree, edits) {
  const made = new Map(tree);
  for (const { path, line, text } of edits) {
    const before = made.get(path);
    if (before)
      made.set(
        path,
        before.map((each, at) => (at === line - 1 ? text : each)),
      );
  }
  return made;
}

export const wantedOf = ({ scripts }, side) => edited(baseTree(), scripts[side]);

export const bytesOf = (content) => Buffer.from(content.map((line) => `${line}\n`).join(""));

export const isSame = (a, b) =>
  a.size === b.size && [...a].every(([path, content]) => b.has(path) && bytesOf(content).equals(bytesOf(b.get(path))));

/** Both sides merged by lines, as the store does it; null for a conflict. */
export function merged(a, b) {
  const base = baseTree();
  const made = new Map();
  for (const path of new Set([...base.keys(), ...a.keys(), ...b.keys()])) {
    const [was, ours, theirs] = [base, a, b].map((tree) => tree.get(path));
    if (!was || !ours || !theirs) {
      // Deleted on one side: clean where the other left it as it was.
      const left = [ours, theirs].filter(Boolean);
      if (left.some((content) => !was || !bytesOf(content).equals(bytesOf(was)))) return null;
      continue;
    }
    const both = mergeLines(bytesOf(was), bytesOf(ours), bytesOf(theirs));
    if (!both.clean) return null;
    made.set(path, Buffer.from(both.bytes).toString().split("\n").slice(0, -1));
  }
  return made;
}

/** Whether a pair came to what was wanted: each side exactly, and both together without a conflict. */
export function passes(pair, trees) {
  if (!trees.every((tree, side) => isSame(tree, wantedOf(pair, side)))) return false;
  const both = merged(...trees);
  return both !== null && isSame(both, edited(baseTree(), pair.scripts.flat()));
}
