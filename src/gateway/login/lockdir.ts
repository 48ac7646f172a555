/**
 * Locks as other programs take them: a directory that only one can make, touched while it is held. One that nobody has touched for a minute was
 * left by a process that is gone.
 */
import { mkdirSync, renameSync, rmdirSync, statSync, utimesSync } from "node:fs";

const STALE = 60_000;
const TOUCH = 5_000;

/** Takes a lock and gives what gives it back; null while another process has it. Throws where it cannot be made. */
export function takeLock(path: string): (() => void) | null {
  if (!make(path) && !(removeStale(path) && make(path))) return null;
  const timer = setInterval(() => {
    try {
      utimesSync(path, new Date(), new Date());
    } catch {
      // Somebody took it for left over. What is done under it is looked at once more before it counts.
    }
  }, TOUCH);
  timer.unref();
  return () => {
    clearInterval(timer);
    try {
      rmdirSync(path);
    } catch {
      // As above.
    }
  };
}

function make(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function removeStale(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return true;
  if (Date.now() - stat.mtimeMs < STALE) return false;
  const aside = `${path}.${process.pid}`;
  try {
    // Of several that find it, one moves it.
    renameSync(path, aside);
    rmdirSync(aside);
  } catch {
    return false;
  }
  return true;
}
