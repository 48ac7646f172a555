/** What a layer that is written to has changed. */
import * as fs from "node:fs";
import { arg, bytesOf, closeDir, type Dir, gone, openDir, openRoot } from "./dirs.ts";
import type { Mounts } from "./layers.ts";
import { inside } from "./paths.ts";
import type { Changed } from "./statcache.ts";

/**
 * Where in a layer something has changed since a time (ms since 1970); with null all of its directories. Who makes overlays looks through it
 * faster than we do; it fails where it is deeper than files may be open.
 * @param isKnown tells of an entry with a new stamp whether it has not changed since it was looked at, though
 */
export async function changedIn(
  { changed }: Pick<Mounts, "changed">,
  upper: string,
  since: number | null,
  isKnown: (path: string) => boolean = () => false,
): Promise<Changed> {
  try {
    const found = new Set([""]);
    const told = await changed(upper, since ?? 0);
    // Who wants one has to come by those above it.
    for (const path of since === null ? told : told.filter((each) => !isKnown(each)))
      for (let end = path.length; end > 0 && !found.has(path.slice(0, end)); end = path.lastIndexOf("/", end - 1))
        found.add(path.slice(0, end));
    return { dirs: found, entries: since === null ? null : found };
  } catch {
    return { dirs: directoriesIn(upper), entries: null };
  }
}

/** The directories below one, by their paths in it, and itself. */
const directoriesIn = (upper: string): Set<string> => lookThrough(upper, false);

/** All that lies in a directory, by its paths in it, and itself. */
export const entriesIn = (upper: string): Set<string> => lookThrough(upper, true);

/** However deep it is: neither a path nor the stack limits it. */
function lookThrough(upper: string, all: boolean): Set<string> {
  const found = new Set([""]);
  const open: Array<{ dir: Dir; key: string; left: string[] }> = [];
  const enter = (dir: Dir, key: string): void => {
    const entries = fs.readdirSync(arg(dir.at), { withFileTypes: true, encoding: "latin1" });
    if (all) for (const { name } of entries) found.add(inside(key, name));
    open.push({ dir, key, left: entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])) });
  };
  try {
    enter(openRoot(bytesOf(upper)), "");
    for (let here = open.at(-1); here; here = open.at(-1)) {
      const name = here.left.pop();
      if (name === undefined) {
        closeDir(open.pop()!.dir);
        continue;
      }
      const key = inside(here.key, name);
      found.add(key);
      try {
        enter(openDir(here.dir, name), key);
      } catch (error) {
        // A process has removed it meanwhile.
        if (!gone(error)) throw error;
      }
    }
    return found;
  } finally {
    for (const { dir } of open) closeDir(dir);
  }
}
