/** A disk on which the process dies at a chosen moment: the operation is not done, or in part, and none after it. */
import * as fs from "node:fs";
import type { Disk, DiskFile } from "../../src/trace/disk.ts";
import { thisOwner } from "../../src/trace/owner.ts";
import type { Owner } from "../../src/trace/ports.ts";
import { type EmbeddedStore, openStore } from "../../src/trace/store.ts";
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

/** A process that the next one finds dead. */
export const DEAD: Owner = { boot: thisOwner().boot, pid: 999_999_999, start: "0", ns: thisOwner().ns };

/** Runs `work` on copies of a store, killed at each of its operations on the disk in turn; `after` sees what each left. */
export async function killedEverywhere(
  template: string,
  stride: number,
  part: number,
  work: (store: EmbeddedStore) => Promise<unknown>,
  after: (store: EmbeddedStore, at: number) => Promise<void>,
): Promise<void> {
  for (let at = 0; ; at += stride) {
    const copy = `${template}.${at}`;
    fs.cpSync(template, copy, { recursive: true });
    const disk = crashingDisk(at, part);
    const store = await openStore(copy, { disk, owner: () => DEAD }).catch(() => null);
    const died = store
      ? await work(store).then(
          () => false,
          (error: unknown) => {
            if (error instanceof Crash) return true;
            throw error;
          },
        )
      : true;
    await store?.close().catch(() => {});
    const next = await openStore(copy, { disk: fastDisk });
    await after(next, at);
    await next.close();
    fs.rmSync(copy, { recursive: true });
    if (!died) return;
  }
}
