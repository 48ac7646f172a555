/** Bytes on disk below a directory. */
import * as fs from "node:fs";

export interface Usage {
  /** What the file system has allocated. */
  bytes: number;
  files: number;
}

/**
 * What a directory takes, with all below it on the same file system: a file with several names counts once, a mount not at all. What vanishes or
 * cannot be read meanwhile counts nothing. Gives up after `limit` entries and then says what it found so far.
 */
export function usageBelow(path: string, limit = Number.POSITIVE_INFINITY): Usage & { whole: boolean } {
  const usage = { bytes: 0, files: 0, whole: true };
  const top = statOf(Buffer.from(path));
  if (!top) return usage;
  const seen = new Set<string>();
  const stack: { path: Buffer; stat: fs.Stats }[] = [{ path: Buffer.from(path), stat: top }];
  for (let each = stack.pop(); each; each = stack.pop()) {
    const { path, stat } = each;
    if (stat.dev !== top.dev) continue;
    if (stat.nlink > 1 && !stat.isDirectory()) {
      const key = String(stat.ino);
      if (seen.has(key)) continue;
      seen.add(key);
    }
    usage.bytes += stat.blocks * 512;
    usage.files++;
    if (!stat.isDirectory()) continue;
    if (usage.files > limit) {
      usage.whole = false;
      return usage;
    }
    for (const name of namesIn(path)) {
      const below = Buffer.concat([path, SLASH, name]);
      const there = statOf(below);
      if (there) stack.push({ path: below, stat: there });
    }
  }
  return usage;
}

const SLASH = Buffer.from("/");

function statOf(path: Buffer): fs.Stats | null {
  try {
    return fs.lstatSync(path);
  } catch {
    return null;
  }
}

function namesIn(path: Buffer): Buffer[] {
  try {
    return fs.readdirSync(path, { encoding: "buffer" });
  } catch {
    return [];
  }
}

/** Bytes as people read them: `1.4 GB`. */
export function inWords(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 999.5 && at < units.length - 1) {
    bytes /= 1000;
    at++;
  }
  return `${bytes < 9.95 && at > 0 ? bytes.toFixed(1) : Math.round(bytes)} ${units[at]}`;
}
