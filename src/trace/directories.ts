/** Directories, made with those above them. */
import * as fs from "node:fs";
import { resolve } from "node:path";

/**
 * Makes a directory and those above it, and gives the first that it made; undefined if all stood. What stands there may be a file: that is
 * not looked at. Not `mkdirSync` with `recursive`, which never ends below a directory that takes none (`/proc`).
 * @param path absolute where it is a buffer.
 */
export function makeDirectories(path: string | Buffer, mode = 0o777): string | undefined {
  const lacking: Buffer[] = [];
  for (let at = typeof path === "string" ? Buffer.from(resolve(path)) : path; !fs.existsSync(at); at = above(at))
    lacking.unshift(at);
  for (const each of lacking)
    try {
      fs.mkdirSync(each, { mode });
    } catch (error) {
      // Somebody else made it in the same moment.
      if (!fs.statSync(each, { throwIfNoEntry: false })?.isDirectory()) throw error;
    }
  return lacking[0]?.toString();
}

const above = (path: Buffer): Buffer => path.subarray(0, Math.max(1, path.lastIndexOf(0x2f)));
