/**
 * What goes, goes at once: a directory is moved to a place beside those that are kept, and what was in it is removed behind that. What somebody
 * who was killed has left there is removed by who looks next.
 */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import { bytesOf, codeOf, denied, gone } from "./dirs.ts";
import type { Layers } from "./layers.ts";
import { leftOuts } from "./left-out.ts";
import { discard } from "./remove.ts";

/** Who makes mounts also removes, in a process of its own: it takes a fifth of the work, and none of this process's. */
type Helped = Pick<Layers, "mounts">;

const trashIn = (directory: string): string => join(directory, ".gone");

/** Moves `path`, which lies on the same file system, out of the way. It may not be there. */
export function throwAway(directory: string, path: string, helped?: Helped): void {
  const trash = trashIn(directory);
  const to = join(trash, `${basename(path)}-${randomBytes(6).toString("hex")}`);
  for (let tries = 0; ; tries++)
    try {
      fs.renameSync(path, to);
      break;
    } catch (error) {
      if (tries > 2 || !(gone(error) || denied(error))) throw error;
      if (!fs.existsSync(path)) return;
      if (gone(error)) {
        if (makeTrash(trash)) continue;
        if (leftOuts(path).size > 0) throw error;
        fs.rmSync(path, { recursive: true, force: true });
        return;
      }
      // Where a directory leads up is written in itself.
      fs.chmodSync(path, 0o700);
    }
  setImmediate(() => emptyTrash(directory, helped).catch(() => {}));
}

/** False on a disk that is full: there what goes makes room. */
function makeTrash(trash: string): boolean {
  try {
    fs.mkdirSync(trash, { recursive: true, mode: 0o700 });
    return true;
  } catch (error) {
    if (!["ENOSPC", "EDQUOT"].includes(codeOf(error) ?? "")) throw error;
    return false;
  }
}

/** By their places, those that are being emptied. */
const emptying = new Map<string, Promise<boolean>>();

/** Removes for good what was thrown away; resolves when it is gone. False if something stays, since somebody has mounted something in it. */
export function emptyTrash(directory: string, helped?: Helped): Promise<boolean> {
  const trash = trashIn(directory);
  const known = emptying.get(trash);
  if (known) return known;
  const emptied = empty(trash, helped).finally(() => emptying.delete(trash));
  emptying.set(trash, emptied);
  return emptied;
}

async function removeHelped(trash: string, helped: Helped | undefined): Promise<void> {
  try {
    // The helper need not see what is mounted here.
    if (leftOuts(trash).size === 0) await (await helped?.mounts())?.remove(trash);
  } catch {
    // It has ended: what it has left is removed here.
  }
}

/** By threads of Node's, so that nobody waits for it here; what they cannot remove, or must not, as we do it ourselves. */
async function removed(trash: string, name: string): Promise<boolean> {
  const path = join(trash, name);
  try {
    if (leftOuts(path).size === 0) {
      await fs.promises.rm(path, { recursive: true, force: true });
      return true;
    }
  } catch {
    // It has what its owner has closed; or another process has removed it.
  }
  return discard(bytesOf(trash), name);
}

async function empty(trash: string, helped: Helped | undefined): Promise<boolean> {
  for (;;) {
    const names = namesIn(trash);
    if (names.length > 0) await removeHelped(trash, helped);
    const rest = new Set(namesIn(trash));
    let left = 0;
    for (const name of names) if (rest.delete(name) && !(await removed(trash, name))) left++;
    // What came meanwhile goes too.
    if (names.length > left) continue;
    try {
      if (left === 0) fs.rmdirSync(trash);
    } catch {
      // It was not there, or something came in the same moment.
    }
    return left === 0;
  }
}

const namesIn = (trash: string): string[] => (fs.existsSync(trash) ? fs.readdirSync(trash) : []);
