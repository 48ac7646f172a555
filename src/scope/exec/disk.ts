/**
 * What the processes of a sandbox may write. No file system holds that for a directory everywhere, so it is looked at: cheaply and often how
 * much room the file system has lost, and what lies there only where that could be too much. What is written in between passes.
 */
import { type BigIntStats, promises as fs, statfsSync } from "node:fs";
import { join } from "node:path";

/** So often, in ms. */
const PAUSE = 200;

export interface DiskWatch {
  /** How often something was killed. */
  killed(): number;
  end(): void;
}

export interface DiskOptions {
  /** Directory of the host in which all lies that counts. */
  folder: string;
  /** Bytes that may come to what is there now. */
  most: number;
  /** The processes that may write. */
  pids: () => Promise<readonly number[]>;
  kill: () => Promise<void>;
  pause?: number;
}

const isGone = (error: unknown): boolean => ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");

/** Bytes that a directory takes on the disk, each file once; and whether all of it could be looked at. */
async function taken(folder: string, seen: Set<bigint>): Promise<{ bytes: number; whole: boolean }> {
  let bytes = 0;
  let whole = true;
  const device = (await fs.lstat(folder, { bigint: true })).dev;
  const count = (stat: BigIntStats): void => {
    if (stat.dev !== device || seen.has(stat.ino)) return;
    if (stat.nlink > 1n) seen.add(stat.ino);
    bytes += Number(stat.blocks) * 512;
  };
  for (const left = [Buffer.from(folder)]; left.length > 0; ) {
    const at = left.pop()!;
    try {
      const stat = await fs.lstat(at, { bigint: true });
      count(stat);
      if (!stat.isDirectory() || stat.dev !== device) continue;
      for (const name of await fs.readdir(at, { encoding: "buffer" })) left.push(Buffer.concat([at, SLASH, name]));
    } catch (error) {
      if (!isGone(error)) whole = false;
    }
  }
  return { bytes, whole };
}

const SLASH = Buffer.from("/");

/** What the kernel calls an overlay, whose files lie in the folder although it has a device of its own. */
const OVERLAY = 0x794c7630;

/** Bytes of files that have no name any more, but are open. */
async function nameless(folder: string, pids: readonly number[]): Promise<number> {
  const device = (await fs.lstat(folder, { bigint: true })).dev;
  const found = new Map<string, number>();
  for (const pid of pids) {
    const fds = await fs.readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const fd of fds) {
      const at = join("/proc", String(pid), "fd", fd);
      const stat = await fs.stat(at, { bigint: true }).catch(() => null);
      if (!stat?.isFile() || stat.nlink !== 0n) continue;
      if (stat.dev !== device && (await fs.statfs(at).catch(() => null))?.type !== OVERLAY) continue;
      found.set(`${stat.dev}:${stat.ino}`, Number(stat.blocks) * 512);
    }
  }
  return [...found.values()].reduce((sum, each) => sum + each, 0);
}

/** Looks until it is ended, and kills what runs whenever it has come to more than it may, and has grown. */
export async function watchDisk({ folder, most, pids, kill, pause = PAUSE }: DiskOptions): Promise<DiskWatch> {
  const free = (): number => {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  };
  let room = free();
  const began = room;
  const look = async (): Promise<number> => {
    const { bytes, whole } = await taken(folder, new Set());
    const all = bytes + (await nameless(folder, await pids()));
    // What nobody may look into can be as much as the file system has lost.
    return whole ? all : Math.max(all, base + began - free());
  };
  let base = 0;
  base = await look();
  const slack = Math.min(1 << 20, most / 64);
  let last = 0;
  // Beyond this, what grows is killed.
  let mark = most;
  let killed = 0;
  let ended = false;
  const step = async (): Promise<void> => {
    const now = free();
    // Room that others have given back hides nothing: less than it was is what is looked for.
    room = Math.max(room, now);
    if (room - now < Math.max(most - last, most / 64)) return;
    room = now;
    let grown = (await look()) - base;
    if (grown <= most) mark = most;
    // Who has too much may still remove some of it, and needs a little for that.
    if (grown > mark + slack && grown > last && !ended) {
      killed++;
      await kill();
      grown = (await look()) - base;
      mark = mark === most ? Math.max(most, grown) : mark;
    }
    mark = Math.max(most, Math.min(mark, grown));
    last = Math.max(0, grown);
  };
  const go = async (): Promise<void> => {
    for (; !ended; await new Promise<void>((resolve) => setTimeout(resolve, pause).unref()))
      // A sandbox that has ended meanwhile is nothing to watch.
      await step().catch(() => {});
  };
  void go();
  return {
    killed: () => killed,
    end: () => {
      ended = true;
    },
  };
}
