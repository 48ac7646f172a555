/**
 * Puts what a tar archive holds into a directory, as one layer over what is there. The directory is taken for the root of a file system: no name, and no
 * link in the archive or below, leads out of it, since each directory on the way is held open and links are followed by their text alone.
 */
import * as fs from "node:fs";
import { arg, bytesOf, changeMode, closeDir, codeOf, type Dir, namesIn, openDir, openRoot } from "../dirs.ts";
import { placeFile, placeLink, setTime } from "../place.ts";
import { readTar, type Sink, type TarEntry, TarError } from "./tar.ts";

export interface Unpacked {
  entries: number;
  /** Devices and pipes, which no state can hold, but for those in /dev. */
  leftOut: number;
}

export interface Unpacking {
  /** Puts an archive over what is there. `whiteouts`: names that begin with `.wh.` take away what lies below. */
  add(pieces: AsyncIterable<Buffer>, options?: { whiteouts?: boolean }): Promise<void>;
  /** Gives directories their modes, owners and times, and tells what came of it. */
  finish(): Unpacked;
}

/** So many links one path may lead through, as for the kernel; and so long it may be. */
const LINKS = 40;
const LONGEST = 4096;
const MOST_ENTRIES = 4_000_000;
const WHITEOUT = ".wh.";

/** The attributes of an entry that come last. */
type Late = Pick<TarEntry, "mode" | "uid" | "gid" | "ns">;

/** @param most so many entries it may have */
export function startUnpacking(root: string, most = MOST_ENTRIES): Unpacking {
  const base = bytesOf(root);
  const isRoot = process.geteuid?.() === 0;
  const done: Unpacked = { entries: 0, leftOut: 0 };
  /** Of directories, by their paths. They stay open to us until all is there. */
  const late = new Map<string, Late>();
  /** What this layer has made, and the directories above. */
  let made = new Set<string>();
  let above = new Set<string>();
  /** The directory that was used last: most entries lie beside the one before. */
  let last: { path: string; dir: Dir; key: string } | null = null;

  const letGo = (): void => {
    if (last) closeDir(last.dir);
    last = null;
  };

  /** The directory that a path leads to from the root, through links, and where that is; null where it is not there and not to be made. */
  const enter = (path: string, make: boolean): { dir: Dir; key: string } | null => {
    if (last?.path === path) return last;
    const names = path.split("/").reverse();
    let here: { dir: Dir; name: string }[] = [];
    const close = (): void => {
      for (const { dir } of here) closeDir(dir);
    };
    let top = openRoot(base);
    try {
      for (let links = 0; names.length > 0; ) {
        const name = names.pop()!;
        if (name === "" || name === ".") continue;
        if (name === "..") {
          const gone = here.pop();
          if (gone) closeDir(gone.dir);
          continue;
        }
        const at = here.at(-1)?.dir ?? top;
        const stat = fs.lstatSync(arg(at.at + name), { throwIfNoEntry: false });
        if (stat?.isSymbolicLink()) {
          if (++links > LINKS) throw new TarError(`Too many links are on the way to ${show(path)}.`);
          const target = fs.readlinkSync(arg(at.at + name), "latin1");
          if (target.startsWith("/")) {
            close();
            here = [];
          }
          names.push(...target.split("/").reverse());
          continue;
        }
        if (!stat && !make) {
          close();
          closeDir(top);
          return null;
        }
        if (!stat) fs.mkdirSync(arg(at.at + name), 0o755);
        else if (!stat.isDirectory()) throw new TarError(`${show(path)} leads through what is no directory.`);
        here.push({ dir: openDir(at, name), name });
      }
    } catch (error) {
      close();
      closeDir(top);
      throw error;
    }
    const key = here.map(({ name }) => name).join("/");
    const found = here.pop()?.dir;
    close();
    if (found) {
      closeDir(top);
      top = found;
    }
    letGo();
    last = { path, dir: top, key };
    return last;
  };

  const note = (key: string): void => {
    made.add(key);
    for (let end = key.lastIndexOf("/"); end > 0; end = key.lastIndexOf("/", end - 1)) {
      const folder = key.slice(0, end);
      if (above.has(folder)) break;
      above.add(folder);
    }
  };

  const forget = (key: string): void => {
    late.delete(key);
    for (const each of late.keys()) if (each.startsWith(`${key}/`)) late.delete(each);
  };

  /** Takes away what is there, whatever it is; with `own` but for what this layer has made. */
  const take = (dir: Dir, key: string, name: string, own: boolean): void => {
    const stat = fs.lstatSync(arg(dir.at + name), { throwIfNoEntry: false });
    if (!stat) return;
    if (own && made.has(key) && !stat.isDirectory()) return;
    if (!stat.isDirectory()) {
      fs.unlinkSync(arg(dir.at + name));
      return;
    }
    empty(dir, key, name, own);
    if (own && (made.has(key) || above.has(key))) return;
    fs.rmdirSync(arg(dir.at + name));
    forget(key);
  };
  /** The directories on the way are held open, so a tree deeper than files may be open is refused by the system. */
  const empty = (dir: Dir, key: string, name: string, own: boolean): void => {
    const below = openDir(dir, name);
    try {
      for (const each of namesIn(below)) take(below, `${key}/${each}`, each, own);
    } finally {
      closeDir(below);
    }
  };

  const whiteout = (folder: string, name: string): void => {
    const place = enter(folder, false);
    if (!place) return;
    const inside = (each: string): string => (place.key ? `${place.key}/${each}` : each);
    const { dir } = place;
    if (name === ".wh..opq") for (const each of namesIn(dir)) take(dir, inside(each), each, true);
    // Others that begin so are marks of the file system that the layer was made on.
    else if (!name.startsWith(WHITEOUT)) {
      if (name === "" || name === "." || name === "..")
        throw new TarError(`A whiteout in ${show(folder)} names nothing.`);
      if (!made.has(inside(name))) take(dir, inside(name), name, true);
    }
    // It may have been what is held open.
    letGo();
  };

  const own = (dir: Dir, name: string, { uid, gid }: Pick<TarEntry, "uid" | "gid">): void => {
    if (isRoot && (uid !== 0 || gid !== 0)) fs.lchownSync(arg(dir.at + name), uid, gid);
  };

  const place = (entry: TarEntry, path: string, options: { whiteouts?: boolean }): Sink | null => {
    const cut = path.lastIndexOf("/");
    const [folder, name] = [path.slice(0, Math.max(0, cut)), path.slice(cut + 1)];
    if (options.whiteouts && name.startsWith(WHITEOUT)) {
      whiteout(folder, name.slice(WHITEOUT.length));
      return null;
    }
    if (entry.type === "device" || entry.type === "fifo") {
      // A run has a /dev of its own.
      if (!path.startsWith("dev/")) done.leftOut++;
      return null;
    }
    const { dir, key: folderKey } = enter(folder, true)!;
    const key = folderKey ? `${folderKey}/${name}` : name;
    const there = fs.lstatSync(arg(dir.at + name), { throwIfNoEntry: false });
    const { mode, uid, gid, ns } = entry;
    if (entry.type === "dir") {
      if (there && !there.isDirectory()) fs.unlinkSync(arg(dir.at + name));
      if (!there?.isDirectory()) fs.mkdirSync(arg(dir.at + name), 0o755);
      late.set(key, { mode, uid, gid, ns });
      note(key);
      return null;
    }
    if (entry.type === "hard") {
      const from = cleaned(entry.target);
      const at = from.lastIndexOf("/");
      // What is put there may be a name of what it is put on.
      if (from === path) return null;
      const source = enter(from.slice(0, Math.max(0, at)), false);
      const path2 = source && arg(source.dir.at + from.slice(at + 1));
      const stat = path2 && fs.lstatSync(path2, { throwIfNoEntry: false });
      if (!stat || stat.isDirectory())
        throw new TarError(`${show(path)} is another name of ${show(from)}, which is no file.`);
      const held = openDir(source.dir, ".");
      try {
        const to = enter(folder, true)!;
        take(to.dir, key, name, false);
        fs.linkSync(arg(held.at + from.slice(at + 1)), arg(to.dir.at + name));
      } finally {
        closeDir(held);
      }
      note(key);
      return null;
    }
    if (there) take(dir, key, name, false);
    note(key);
    if (entry.type === "link") {
      placeLink(dir, name, Buffer.from(entry.target, "latin1"), { ns }, false);
      own(dir, name, entry);
      return null;
    }
    const file = placeFile(dir, name, 0o600, false);
    return {
      write: (bytes) => file.write(bytes),
      end: () => {
        file.finish({ mode: 0o600, ns });
        file.close();
        own(dir, name, entry);
        // Behind the owner, with which the system takes rights away.
        changeMode(dir, name, mode);
      },
    };
  };

  return {
    add: async (pieces, options = {}) => {
      made = new Set();
      above = new Set();
      try {
        await readTar(pieces, (entry) => {
          if (++done.entries > most) throw new TarError(`There are more than ${most} entries in it.`);
          const path = cleaned(entry.path);
          if (path !== "") return located(entry, () => place(entry, path, options));
          if (entry.type === "dir") late.set("", entry);
          return null;
        });
      } finally {
        letGo();
      }
    },
    finish: () => {
      // The deepest first: what changes in a directory changes its time.
      const order = [...late.entries()].sort(([a], [b]) => (a < b ? 1 : -1));
      for (const [key, { mode, uid, gid, ns }] of order) {
        const dir = key === "" ? openRoot(base) : dirAt(base, key);
        if (!dir) continue;
        try {
          if (isRoot && (uid !== 0 || gid !== 0)) fs.fchownSync(dir.fd, uid, gid);
          setTime(dir, ".", ns);
          fs.fchmodSync(dir.fd, mode);
        } finally {
          closeDir(dir);
        }
      }
      return done;
    },
  };
}

/** A path in an archive as one in the root. Throws where it leads out. */
function cleaned(path: string): string {
  if (path.length > LONGEST) throw new TarError("An entry has a path of more than 4096 bytes.");
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) throw new TarError(`${show(path)} leads out of the image.`);
  return names.join("/");
}

/** A directory by the names that lead to it, none of which is a link. */
function dirAt(base: string, key: string): Dir | null {
  let here = openRoot(base);
  for (const name of key.split("/")) {
    try {
      const next = openDir(here, name);
      closeDir(here);
      here = next;
    } catch (error) {
      closeDir(here);
      if (["ENOENT", "ENOTDIR", "ELOOP"].includes(codeOf(error) ?? "")) return null;
      throw error;
    }
  }
  return here;
}

const show = (path: string): string => JSON.stringify(Buffer.from(path, "latin1").toString());

/** What the system refuses is told with the entry. */
function located<T>({ path }: TarEntry, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { syscall, code } = error as NodeJS.ErrnoException;
    if (!syscall || code === "ENOSPC" || code === "EDQUOT") throw error;
    throw new TarError(`${show(path)} cannot be unpacked (${syscall}: ${code}).`, { cause: error });
  }
}
