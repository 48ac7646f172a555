import { rmSync } from "node:fs";

/** Removes a directory by `work`, also while a process of the helper removes in it what was given up. */
export function removing(work: () => void): void {
  for (let tries = 0; ; tries++)
    try {
      work();
      return;
    } catch (error) {
      const isOurs = ["ENOENT", "ENOTEMPTY"].includes((error as NodeJS.ErrnoException).code ?? "");
      if (!isOurs || tries > 1000) throw error;
    }
}

export const removeAll = (path: string): void => removing(() => rmSync(path, { recursive: true, force: true }));
