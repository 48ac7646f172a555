/**
 * File trees as commands of `git fast-import`. Contents go as they are: no filter, no attribute, no line ending of Git's is applied. What Git cannot
 * hold is left out, and named: entries called like its own directory, and links in the place of `.gitmodules`. Of modes it holds whether a file may be executed.
 */
import type { Hash, Objects } from "../trace/ports.ts";
import { decodeChunks, readContent } from "./content.ts";
import { diffTrees } from "./diff.ts";
import { missing } from "./missing.ts";
import { type Entry, readTree } from "./tree.ts";

export interface FastImport {
  /** The commands that make the files of one tree of those of another (null: of none), for within a commit. Contents come before, as blobs. */
  changes(from: Hash | null, to: Hash): Promise<Buffer[]>;
  /** Paths that were left out. */
  readonly leftOut: ReadonlySet<string>;
}

/** Characters that a file system of Apple's takes for none. */
const IGNORED = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g;
const LIKE_GIT = /^(\.git|git~1)[ .]*(:.*)?$/is;

/** Whether Git takes a name for that of its own directory, on some system. */
const isLikeGit = (name: string): boolean =>
  name
    .replaceAll(IGNORED, "")
    .split("\\")
    .some((part) => LIKE_GIT.test(part));

/** Whether Git refuses to hold an entry of this path. */
export function isRefused(path: Buffer, { type }: Pick<Entry, "type">): boolean {
  const names = path.toString().split("/");
  return names.some(isLikeGit) || (type === "l" && /^(\.gitmodules|gitmod~\d)[ .]*$/i.test(names.at(-1)!));
}

/**
 * @param write takes the next bytes for the program
 * @param mark gives a number that was not used
 */
export function startFastImport(
  objects: Objects,
  write: (bytes: Uint8Array) => Promise<void>,
  mark: () => number,
): FastImport {
  const marks = new Map<string, number>();
  const leftOut = new Set<string>();

  const blobOf = async ({ type, id }: Entry): Promise<number> => {
    const key = type === "F" ? `F${id}` : id;
    const known = marks.get(key);
    if (known !== undefined) return known;
    const number = mark();
    const head = (size: number): Promise<void> => write(Buffer.from(`blob\nmark :${number}\ndata ${size}\n`));
    if (type === "F") {
      await head(decodeChunks((await objects.get(id)) ?? missing(id, "content")).size);
      for await (const bytes of readContent(objects, type, id)) await write(bytes);
    } else {
      const bytes = (await objects.get(id)) ?? missing(id, "content");
      await head(bytes.length);
      await write(bytes);
    }
    await write(Buffer.from("\n"));
    marks.set(key, number);
    return number;
  };

  return {
    leftOut,
    changes: async (from, to) => {
      const commands: Buffer[] = [];
      for await (const { path, before, after } of diffTrees(objects, from, to)) {
        const entry = after ?? before!;
        if (path.length === 0) continue;
        if (isRefused(path, entry)) {
          if (after) leftOut.add(path.toString("latin1"));
          // A file may have stood in its place.
          if (before && !isRefused(path, before)) commands.push(deletion(path));
          continue;
        }
        if (before && before.type !== "d" && (!after || after.type === "d")) commands.push(deletion(path));
        if (!after || after.type === "d") continue;
        const mode = after.type === "l" ? "120000" : (after.mode & 0o100) !== 0 ? "100755" : "100644";
        commands.push(Buffer.from(`M ${mode} :${await blobOf(after)} ${quoted(path)}\n`));
      }
      return commands;
    },
  };
}

const deletion = (path: Buffer): Buffer => Buffer.from(`D ${quoted(path)}\n`);

/** A path in quotes, in ASCII. */
const quoted = (path: Buffer): string =>
  `"${path.toString("latin1").replace(/[^ !#-[\]-~]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, "0")}`)}"`;

/** Directories of a tree in which there is no file. */
export async function countEmpty(objects: Objects, id: Hash): Promise<number> {
  const known = new Map<Hash, { empty: number; has: boolean }>();
  const look = async (at: Hash): Promise<{ empty: number; has: boolean }> => {
    const before = known.get(at);
    if (before) return before;
    let empty = 0;
    let has = false;
    for (const { type, id: below } of (await readTree(objects, at)).entries) {
      if (type !== "d") has = true;
      else {
        const found = await look(below);
        empty += found.empty + (found.has ? 0 : 1);
        has ||= found.has;
      }
    }
    const found = { empty, has };
    known.set(at, found);
    return found;
  };
  return (await look(id)).empty;
}
