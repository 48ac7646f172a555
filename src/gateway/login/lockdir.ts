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
  let mark = markOf(path);
  const ifOurs = (work: () => void): void => {
    try {
      if (markOf(path) === mark) work();
    } catch {
      // Somebody took it for left over. What is done under it is looked at once more before it counts.
    }
  };
  const touch = (): void => {
    utimesSync(path, new Date(), new Date());
    mark = markOf(path);
  };
  const timer = setInterval(() => ifOurs(touch), TOUCH);
  timer.unref();
  return () => {
    clearInterval(timer);
    ifOurs(() => rmdirSync(path));
  };
}

/** By what a process that slept for long knows its lock from one that another has taken meanwhile: nobody else touches it. */
function markOf(path: string): string {
  const { ino, mtimeMs } = statSync(path);
  return `${ino} ${mtimeMs}`;
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

const isStale = (path: string): boolean => Date.now() - statSync(path).mtimeMs >= STALE;

function removeStale(path: string): boolean {
  const aside = `${path}.${process.pid}`;
  try {
    if (!isStale(path)) return false;
    // Of several that find it, one moves it; the next may already move the lock that this one has then taken.
    renameSync(path, aside);
    if (!isStale(aside)) {
      renameSync(aside, path);
      return false;
    }
    rmdirSync(aside);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
  return true;
}
