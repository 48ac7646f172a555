/** A directory outside of /tmp for the files of tests: a sandbox sees another /tmp than who runs the tests. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";

const lasting = (dir: string): boolean => !/^\/(var\/)?tmp(\/|$)/.test(dir);
function writable(dir: string): boolean {
  try {
    fs.accessSync(dir, fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Who has no such directory (an ordinary user without a home, in another's checkout) is in /tmp; only sandboxes with namespaces mind. */
export const outside =
  [path.resolve("node_modules"), os.homedir()].find((dir) => lasting(dir) && writable(dir)) ?? os.tmpdir();
