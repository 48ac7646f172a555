/**
 * A disk in memory that can lose power. What was synced stays; of what was only written, any part stays: writes are lost, torn at any byte,
 * leave holes of zeros, or a file keeps its new size without its new bytes. It can also be full, read-only, or fail to sync.
 */
import type { Disk, DiskFile } from "../../src/trace/disk.ts";
import { diskError } from "../../src/trace/diskerror.ts";

export type Random = () => number;

/** A generator of numbers in [0, 1) that repeats itself for the same seed. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Thrown by what a process does after it was killed. */
export class Gone extends Error {}

export interface Faults {
  /** Bytes that still fit. */
  space: number;
  /** Files whose sync fails. As on Linux, what could not be synced then counts as clean and is not tried again. */
  syncFails: (path: string) => boolean;
  readOnly: boolean;
  /** Awaited by each sync before it takes effect. */
  syncing: (path: string) => Promise<void>;
  /** Called before anything is changed or synced: a moment at which the power may go out. */
  operating: () => void;
}

export interface SimDisk extends Disk {
  readonly faults: Faults;
  /** Syncs so far, by the end of the file's name. */
  syncs(end: string): number;
  /** The disk as one process sees it, until it is killed. */
  process(): { disk: Disk; kill(): void };
  /** What is there when the power is back. */
  crash(random: Random): SimDisk;
  /** As it is now, synced or not: for tests that damage it. */
  copy(): SimDisk;
  /** All files. */
  files(): Map<string, Buffer>;
  put(path: string, bytes: Uint8Array): void;
}

type Write = { offset: number; bytes: Buffer } | { truncate: number };

/** Bytes of which the first `size` count; the buffer is larger, so that appending is cheap. */
interface Content {
  buffer: Buffer;
  size: number;
}

interface Inode {
  /** What processes see. */
  now: Content;
  /** What is on the disk for certain. */
  synced: Content;
  pending: Write[];
}

const contentOf = (bytes: Uint8Array): Content => ({ buffer: Buffer.from(bytes), size: bytes.length });
const bytesOf = ({ buffer, size }: Content): Buffer => Buffer.from(buffer.subarray(0, size));
const inode = (bytes: Uint8Array): Inode => ({ now: contentOf(bytes), synced: contentOf(bytes), pending: [] });

const fault = (code: string, path: string): unknown => diskError(Object.assign(new Error(code), { code }), path);
const parent = (path: string): string => path.slice(0, path.lastIndexOf("/"));

export function simDisk(from: ReadonlyMap<string, Uint8Array> = new Map()): SimDisk {
  const names = new Map<string, Inode>([...from].map(([path, bytes]) => [path, inode(bytes)]));
  // Names that were removed, and may be back after a crash; files that are just being created.
  const removed = new Map<string, Inode>();
  const creating = new Map<string, Buffer>();
  const watchers = new Map<string, Set<() => void>>();
  const synced: string[] = [];
  const faults: Faults = {
    space: Number.POSITIVE_INFINITY,
    syncFails: () => false,
    readOnly: false,
    syncing: async () => {},
    operating: () => {},
  };

  const operate = (path: string, writes = true): void => {
    faults.operating();
    if (writes && faults.readOnly) throw fault("EROFS", path);
  };
  const changed = (path: string): void => {
    for (const each of watchers.get(path) ?? []) setImmediate(each);
  };

  const write = (node: Inode, change: Write): void => {
    applyWrite(node.now, change);
    node.pending.push(change);
  };

  const open = (path: string): DiskFile | null => {
    const node = names.get(path);
    if (!node) return null;
    return {
      append: (bytes) => {
        operate(path);
        const fits = Math.max(0, Math.min(bytes.length, faults.space));
        faults.space -= fits;
        if (fits > 0) write(node, { offset: node.now.size, bytes: Buffer.from(bytes.subarray(0, fits)) });
        changed(path);
        if (fits < bytes.length) throw fault("ENOSPC", path);
      },
      read: (offset, length) => Buffer.from(node.now.buffer.subarray(offset, Math.min(node.now.size, offset + length))),
      overwrite: (offset, bytes) => {
        operate(path);
        write(node, { offset, bytes: Buffer.from(bytes) });
      },
      truncate: (size) => {
        operate(path);
        write(node, { truncate: size });
      },
      size: () => node.now.size,
      sync: async () => {
        operate(path, false);
        const covers = node.pending.length;
        await faults.syncing(path);
        faults.operating();
        const done = node.pending.splice(0, covers);
        if (faults.syncFails(path)) throw fault("EIO", path);
        for (const each of done) applyWrite(node.synced, each);
        synced.push(path);
      },
      close: () => {},
    };
  };

  const disk: SimDisk = {
    faults,
    syncs: (end) => synced.filter((path) => path.endsWith(end)).length,
    mkdir: (path) => {
      if (names.has(path)) throw fault("EEXIST", path);
    },
    list: (path) =>
      [...names.keys()]
        .filter((each) => each.startsWith(`${path}/`))
        .map((each) => each.slice(path.length + 1))
        .filter((each) => !each.includes("/"))
        .sort(),
    open,
    create: async (path, bytes, options) => {
      operate(path);
      if (bytes.length > faults.space) throw fault("ENOSPC", path);
      faults.space -= bytes.length;
      const copy = Buffer.from(bytes);
      if (!names.has(path) || options?.replace) creating.set(path, copy);
      await faults.syncing(path);
      operate(path);
      creating.delete(path);
      const made = options?.replace === true || !names.has(path);
      if (made) names.set(path, inode(copy));
      for (const each of removed.keys()) if (parent(each) === parent(path)) removed.delete(each);
      changed(path);
      return made;
    },
    read: (path) => {
      const node = names.get(path);
      return node ? bytesOf(node.now) : null;
    },
    remove: (path) => {
      operate(path);
      const node = names.get(path);
      if (!node) return;
      names.delete(path);
      if (!removed.has(path)) removed.set(path, node);
    },
    watch: (path, callback) => {
      const set = watchers.get(path) ?? new Set();
      watchers.set(path, set.add(callback));
      return () => set.delete(callback);
    },
    process: () => {
      let killed = false;
      const guard =
        <A extends unknown[], T>(work: (...args: A) => T) =>
        (...args: A): T => {
          if (killed) throw new Gone("The process was killed.");
          return work(...args);
        };
      const guardFile = (file: DiskFile | null): DiskFile | null =>
        file && {
          ...file,
          append: guard(file.append),
          overwrite: guard(file.overwrite),
          truncate: guard(file.truncate),
          sync: guard(file.sync),
        };
      return {
        disk: {
          ...disk,
          open: guard((path) => guardFile(open(path))),
          create: guard(disk.create),
          remove: guard(disk.remove),
        },
        kill: () => {
          killed = true;
        },
      };
    },
    crash: (random) => {
      const left = new Map<string, Buffer>();
      for (const [path, node] of removed) if (random() < 0.5) left.set(path, survives(node, random));
      for (const [path, node] of names) left.set(path, survives(node, random));
      for (const [path, bytes] of creating) if (random() < 0.5) left.set(path, bytes);
      return simDisk(left);
    },
    copy: () => simDisk(disk.files()),
    files: () => new Map([...names].map(([path, node]) => [path, bytesOf(node.now)])),
    put: (path, bytes) => {
      names.set(path, inode(bytes));
    },
  };
  return disk;
}

function applyWrite(content: Content, change: Write): void {
  if ("truncate" in change) {
    content.size = Math.min(content.size, change.truncate);
    return;
  }
  const end = change.offset + change.bytes.length;
  if (end > content.buffer.length) {
    const grown = Buffer.alloc(Math.max(end, 2 * content.buffer.length));
    content.buffer.copy(grown, 0, 0, content.size);
    content.buffer = grown;
  }
  if (change.offset > content.size) content.buffer.fill(0, content.size, change.offset);
  change.bytes.copy(content.buffer, change.offset);
  content.size = Math.max(content.size, end);
}

/** What is left of a file: any part of each write that was not synced, and zeros where the file is longer than that. */
function survives(node: Inode, random: Random): Buffer {
  const file = contentOf(bytesOf(node.synced));
  // Now and then all or nothing, which independent writes hardly ever come to.
  const all = random();
  for (const change of node.pending) {
    const luck = all < 0.1 ? 0 : all < 0.2 ? 1 : random();
    if ("truncate" in change) {
      if (luck < 0.5) applyWrite(file, change);
      continue;
    }
    const { offset, bytes } = change;
    if (luck < 0.5) applyWrite(file, change);
    else if (luck < 0.8) {
      const cut = Math.floor(random() * bytes.length);
      const begin = random() < 0.7;
      applyWrite(
        file,
        begin ? { offset, bytes: bytes.subarray(0, cut) } : { offset: offset + cut, bytes: bytes.subarray(cut) },
      );
    } else if (luck < 0.9) applyWrite(file, { offset: offset + bytes.length, bytes: Buffer.alloc(0) });
  }
  return bytesOf(file);
}
