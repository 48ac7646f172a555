/** A store and a directory of a test's own. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { discard } from "../world/remove.ts";

export interface Temporary {
  /** For `start`: the directory to work in, and the store. `agent.start(input, { ...place.at, model })`. */
  readonly at: { readonly in: string; readonly store: string };
  /** Text of a file in the directory. */
  read(path: string): string;
  /** Writes files of the directory, as its user would. */
  write(files: { readonly [path: string]: string }): void;
  /** Removes both. Runs that are still at work must be stopped before: `await using` does that, if the run stands behind this. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Makes a store, and a directory with these files. */
export function temporary(files: { readonly [path: string]: string } = {}): Temporary {
  const room = realpathSync(mkdtempSync(join(tmpdir(), "shepherd-test-")));
  const at = { in: join(room, "directory"), store: join(room, "store") };
  mkdirSync(at.in);
  const place = (path: string): string => {
    const full = join(at.in, path);
    if (relative(at.in, full).startsWith("..")) throw new RangeError(`${path} is not in the directory of the test.`);
    return full;
  };
  const made: Temporary = {
    at,
    read: (path) => readFileSync(place(path), "utf8"),
    write: (more) => {
      for (const [path, text] of Object.entries(more)) {
        mkdirSync(dirname(place(path)), { recursive: true });
        writeFileSync(place(path), text);
      }
    },
    [Symbol.asyncDispose]: async () => {
      // What was given up there may be going away at the same time, by another process.
      for (let tries = 0; tries < 100 && existsSync(room); tries++) {
        await discard(dirname(room), basename(room)).catch(() => {});
        if (tries > 0) await sleep(20);
      }
    },
  };
  made.write(files);
  return made;
}
