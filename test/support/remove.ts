import { chmodSync, rmSync } from "node:fs";

/** Removes a directory by `work`, also while a process of the helper removes in it what was given up. */
export function removing(work: () => void): void {
  for (let tries = 0; ; tries++)
    try {
      work();
      return;
    } catch (error) {
      const { code = "", path, syscall } = error as NodeJS.ErrnoException;
      const isOurs = ["ENOENT", "ENOTEMPTY"].includes(code);
      // What the kernel keeps beside an overlay of an ordinary user's, nobody can look into.
      const isLocked = code === "EACCES" && syscall === "scandir" && path !== undefined;
      if ((!isOurs && !isLocked) || tries > 1000) throw error;
      if (isLocked) chmodSync(path, 0o700);
    }
}

export const removeAll = (path: string): void => removing(() => rmSync(path, { recursive: true, force: true }));
