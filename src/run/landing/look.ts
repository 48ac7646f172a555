/** What stands at a path at this moment, with its content put into the store, so that whatever is seen can be kept. */
import type { Objects } from "../../trace/ports.ts";
import { codeOf, denied, gone } from "../../world/dirs.ts";
import type { Pace } from "../../world/pace.ts";
import type { Dir, Files, Stat } from "./files.ts";
import type { Side } from "./plan.ts";

export type Found =
  | { kind: "nothing" }
  | { kind: "side"; side: Side; stat: Stat }
  /** Something that has no side: what it is, in words that follow "it". `dir` says that it is a directory all the same. */
  | { kind: "odd"; text: string };

export const NOTHING: Found = { kind: "nothing" };

const ATTEMPTS = 4;

/** Looks at an entry, without following it. A file's content is put; a directory's is not read. Throws what `put` throws. */
export async function lookAt(files: Files, dir: Dir, name: string, put: Objects["put"], pace: Pace): Promise<Found> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      const stat = files.lstat(dir, name);
      if (!stat) return NOTHING;
      if (stat.isDirectory()) return seen({ type: "d", mode: modeOf(stat), id: null }, stat);
      if (stat.isSymbolicLink()) {
        const target = files.readlink(dir, name);
        const after = files.lstat(dir, name);
        if (!after || !sameInode(after, stat)) continue;
        return seen({ type: "l", mode: 0, id: await put(target) }, stat);
      }
      if (!stat.isFile())
        return odd(`is ${stat.isFIFO() ? "a named pipe" : stat.isSocket() ? "a socket" : "a device"}`);
      const taken = await files.take(dir, name, put, pace);
      if (taken === "gone") continue;
      if (taken === "denied") return odd("cannot be read");
      if (taken === "large") return odd("is larger than a file in a run can be");
      if (!taken.steady) continue;
      const content = "id" in taken ? taken : { type: "f" as const, id: await put(taken.bytes) };
      return seen({ type: content.type, mode: modeOf(taken.stat), id: content.id }, taken.stat);
    } catch (error) {
      // EINVAL: it was a link when we looked.
      if (gone(error) || codeOf(error) === "EINVAL") continue;
      if (denied(error)) return odd("cannot be read");
      throw error;
    }
  }
  return odd("is being written to");
}

const seen = (side: Side, stat: Stat): Found => ({ kind: "side", side, stat });
const odd = (text: string): Found => ({ kind: "odd", text });

export const modeOf = (stat: Stat): number => Number(stat.mode) & 0o7777;

export const sameInode = (a: Stat, b: Stat): boolean => a.ino === b.ino && a.dev === b.dev;

/**
 * Whether an entry is what was seen, as far as its stamps tell. The change time is left out: moving a file or giving it a second name changes it.
 */
export const looksSame = (a: Stat, b: Stat): boolean =>
  sameInode(a, b) &&
  a.mode === b.mode &&
  a.size === b.size &&
  a.mtimeNs === b.mtimeNs &&
  a.uid === b.uid &&
  a.gid === b.gid;
