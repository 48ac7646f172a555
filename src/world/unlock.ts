/** Files and directories of ours that their owner may not read: made readable for a moment, and given their mode back. */
import * as fs from "node:fs";
import { arg, changeMode, type Dir } from "./dirs.ts";

/** Bits that its owner needs to read a file, and to look into a directory and at what is in it. */
export const READ = 0o400;
export const LOOK = 0o500;

const isRoot = (): boolean => process.geteuid?.() === 0;

/** Whether an entry with this mode keeps this process out, if it is its own. */
export const isLocked = (mode: number, bits: number): boolean => (mode & bits) !== bits && !isRoot();

/** Makes a root of ours one to look into (`path` as in dirs.ts); gives the mode to set it back to, null if nothing kept us out. */
export function unlockRoot(path: string): number | null {
  const mode = fs.statSync(arg(path)).mode & 0o7777;
  if (!isLocked(mode, LOOK)) return null;
  fs.chmodSync(arg(path), mode | LOOK);
  return mode;
}

/** Runs `work` while the owner of an entry has `bits` of its mode; gives the mode that it has otherwise. "denied" where it is not ours. */
export async function unlocked<T>(
  dir: Dir,
  name: string,
  bits: number,
  work: (mode: bigint) => Promise<T>,
): Promise<T | "denied"> {
  const stat = fs.lstatSync(arg(dir.at + name), { bigint: true });
  if (isRoot() || stat.uid !== BigInt(process.geteuid?.() ?? -1)) return "denied";
  const mode = Number(stat.mode) & 0o7777;
  changeMode(dir, name, mode | bits);
  try {
    return await work(stat.mode);
  } finally {
    changeMode(dir, name, mode);
  }
}
