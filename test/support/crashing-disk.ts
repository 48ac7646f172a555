/** A disk on which the process dies at a chosen moment: the operation is not done, or in part, and none after it. */
import type { Disk, DiskFile } from "../../src/trace/disk.ts";
import { fastDisk } from "./fast-disk.ts";

export class Crash extends Error {}

export interface CrashingDisk extends Disk {
  /** Operations that changed something so far. */
  readonly operations: number;
}

/**
 * @param at the number of the operation at which it dies; all later ones fail too
 * @param part how much of what it appends or overwrites in that moment is written, from 0 to 1
 */
export function crashingDisk(at: number, part = 0): CrashingDisk {
  let operations = 0;
  const step = (): boolean => {
    if (operations > at) throw new Crash("The process is dead.");
    return operations++ === at;
  };
  const die = (): never => {
    throw new Crash("The process was killed.");
  };
  const file = (real: DiskFile): DiskFile => ({
    append: (bytes) => {
      if (!step()) return real.append(bytes);
      real.append(bytes.subarray(0, Math.floor(bytes.length * part)));
      die();
    },
    overwrite: (offset, bytes) => {
      if (!step()) return real.overwrite(offset, bytes);
      real.overwrite(offset, bytes.subarray(0, Math.floor(bytes.length * part)));
      die();
    },
    truncate: (size) => (step() ? die() : real.truncate(size)),
    sync: async () => (step() ? die() : real.sync()),
    read: real.read,
    size: real.size,
    close: real.close,
  });
  return {
    get operations() {
      return operations;
    },
    mkdir: fastDisk.mkdir,
    list: fastDisk.list,
    read: fastDisk.read,
    open: (path) => {
      const real = fastDisk.open(path);
      return real && file(real);
    },
    create: async (path, bytes, options) => (step() ? die() : fastDisk.create(path, bytes, options)),
    remove: (path) => (step() ? die() : fastDisk.remove(path)),
  };
}
