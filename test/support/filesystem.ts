/** A file system of our own in a file, for what the one of the tests cannot do. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";

const MAKE = {
  btrfs: ["mkfs.btrfs", "-q", "-m", "single"],
  xfs: ["mkfs.xfs", "-q", "-m", "reflink=1"],
};

/** Mounts a new file system of 400 MB, whose image lies beside `at`. Why that cannot be done here, or null: then `unmount` takes it down. */
export function mountNew(kind: keyof typeof MAKE, at: string): string | null {
  const image = `${at}.img`;
  fs.mkdirSync(at);
  fs.writeFileSync(image, "");
  fs.truncateSync(image, 400 << 20);
  const [program, ...args] = MAKE[kind] as [string, ...string[]];
  for (const [command, ...words] of [
    [program, ...args, image],
    ["mount", "-o", "loop", image, at],
  ] as [string, ...string[]][]) {
    const { status, stderr, error } = spawnSync(command, words, { encoding: "utf8" });
    if (status !== 0) return `${command}: ${error?.message ?? stderr.trim()}`;
  }
  return null;
}

export function unmount(at: string): void {
  spawnSync("umount", ["-l", at]);
}

/** Bytes that are taken, once all is written out. */
export function usedBytes(at: string): number {
  spawnSync("sync", ["-f", at]);
  const { blocks, bfree, bsize } = fs.statfsSync(at);
  return (blocks - bfree) * bsize;
}
