/** A lock between processes, as a file that names who has it: who was killed has it no more. */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { alive, isOwner, thisOwner } from "../trace/owner.ts";

/** Works while no other process does so under this lock. `waits` is called as long as one does. */
export async function whileLocked<T>(
  lock: string,
  { signal, waits }: { signal?: AbortSignal | undefined; waits: () => void },
  work: () => Promise<T>,
): Promise<T> {
  while (!take(lock)) {
    waits();
    await new Promise((resolve) => setTimeout(resolve, 5));
    signal?.throwIfAborted();
  }
  try {
    return await work();
  } finally {
    fs.rmSync(lock, { force: true });
  }
}

/** Takes it for this process; false as long as another one has it that lives. */
function take(lock: string): boolean {
  // Whole from the first, so that nobody reads half of it.
  const own = `${lock}-${randomBytes(6).toString("hex")}`;
  fs.writeFileSync(own, JSON.stringify(thisOwner()), { mode: 0o600 });
  try {
    fs.linkSync(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    fs.rmSync(own, { force: true });
  }
  const owner = ownerOf(lock);
  if (owner !== undefined && !(isOwner(owner) && alive(owner))) fs.rmSync(lock, { force: true });
  return false;
}

/** Who has it; undefined if nobody has it any more. */
function ownerOf(lock: string): unknown {
  try {
    return JSON.parse(fs.readFileSync(lock, "utf8"));
  } catch (error) {
    return error instanceof SyntaxError ? null : undefined;
  }
}
