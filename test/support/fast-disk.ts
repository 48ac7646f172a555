/** The disk of this machine without waiting for it: nothing is synced, so that tests of what only concerns processes run quickly. */
import * as fs from "node:fs";
import { type Disk, realDisk } from "../../src/trace/disk.ts";

let serial = 0;

export const fastDisk: Disk = {
  ...realDisk,
  mkdir: (path) => {
    fs.mkdirSync(path, { recursive: true, mode: 0o700 });
  },
  open: (path) => {
    const file = realDisk.open(path);
    return file && { ...file, sync: async () => {} };
  },
  create: async (path, bytes, options) => {
    const temporary = `${path}.${process.pid}.${serial++}.tmp`;
    fs.writeFileSync(temporary, bytes, { mode: 0o600 });
    if (options?.replace) fs.renameSync(temporary, path);
    else {
      try {
        fs.linkSync(temporary, path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        return false;
      } finally {
        fs.unlinkSync(temporary);
      }
    }
    return true;
  },
};
