/**
 * Who has a file open for writing. A file that was moved away can still be written by whoever opened it before; once it is in a directory that
 * nobody else may enter, and nobody has it open, nobody can write to it any more.
 */
import * as fs from "node:fs";

/** For some of the names asked for: who has that file open for writing, in words. */
export type Writers = (files: readonly { name: string; dev: bigint; ino: bigint }[]) => Promise<Map<string, string>>;

const SLICE = 10;

/**
 * Writers among the processes that this one may look into: on Linux those of the same user, or all for root. Elsewhere nobody is found. A shared
 * mapping whose descriptor was closed is not seen.
 */
export const procWriters: Writers = async (files) => {
  const found = new Map<string, string>();
  if (files.length === 0 || process.platform !== "linux") return found;
  const wanted = new Map<string, string[]>();
  for (const { name, dev, ino } of files) wanted.set(`${dev}:${ino}`, [...(wanted.get(`${dev}:${ino}`) ?? []), name]);
  const names = new Set(files.map(({ name }) => last(name)));
  let end = performance.now() + SLICE;
  for (const pid of list("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of list(`/proc/${pid}/fd`)) {
      if (performance.now() > end) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        end = performance.now() + SLICE;
      }
      try {
        const path = `/proc/${pid}/fd/${fd}`;
        // First by the name, which asks no file system: one that hangs must not hold us.
        if (!names.has(last(fs.readlinkSync(path, "latin1")))) continue;
        const stat = fs.statSync(path, { bigint: true });
        const open = wanted.get(`${stat.dev}:${stat.ino}`);
        if (!open || found.has(open[0]!) || !writes(pid, fd)) continue;
        const who = `${nameOf(pid)} (process ${pid})`;
        for (const name of open) found.set(name, who);
      } catch {
        // Closed meanwhile, or not ours to see.
      }
    }
  }
  return found;
};

const last = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

function list(path: string): string[] {
  try {
    return fs.readdirSync(path);
  } catch {
    return [];
  }
}

function writes(pid: string, fd: string): boolean {
  const flags = /^flags:\s*(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/fdinfo/${fd}`, "latin1"))?.[1] ?? "0";
  return (Number.parseInt(flags, 8) & 3) !== fs.constants.O_RDONLY;
}

function nameOf(pid: string): string {
  try {
    return fs.readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "a program";
  }
}
