// Directories of given sizes, made of what this machine has in /usr: the same files each time, as long as that does not change.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { quick } from "../lib.mjs";

let known;
/** Files below /usr with their sizes, sorted by their paths. */
function found() {
  known ??= look();
  return known;
}

function look() {
  const { stdout } = spawnSync(
    "find",
    [quick ? "/usr/share" : "/usr", "-xdev", "-type", "f", "-size", "-65536k", "-readable", "-printf", "%s %p\\0"],
    {
      maxBuffer: 1 << 30,
      encoding: "latin1",
    },
  );
  return stdout
    .split("\0")
    .flatMap((line) => {
      const at = line.indexOf(" ");
      return at < 0 ? [] : [{ bytes: Number(line.slice(0, at)), path: line.slice(at + 1) }];
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Makes `into` with about `bytes` in files, spread over all that is there; more than that is taken again, as copies. What it has then. */
export function makeTree(into, bytes) {
  const all = found();
  const whole = all.reduce((sum, each) => sum + each.bytes, 0);
  const made = { bytes: 0, files: 0 };
  for (let copy = 0; made.bytes < bytes * 0.98; copy++) {
    const share = Math.min(1, (bytes - made.bytes) / whole);
    let owed = 0;
    const taken = all.filter((each) => {
      owed += share;
      if (owed < 1 || made.bytes + each.bytes > bytes) return false;
      owed -= 1;
      made.bytes += each.bytes;
      made.files++;
      return true;
    });
    if (taken.length === 0) return made;
    const at = join(into, String(copy));
    mkdirSync(at, { recursive: true });
    const list = Buffer.from(taken.map(({ path }) => `${path.slice(1)}\0`).join(""), "latin1");
    const packed = spawnSync(
      "bash",
      ["-c", 'set -o pipefail; tar -C / --null -T - -c | tar -C "$1" --no-same-owner -x', "tree", at],
      { input: list },
    );
    if (packed.status !== 0) throw new Error(String(packed.stderr));
  }
  return made;
}
