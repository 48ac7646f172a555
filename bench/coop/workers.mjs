// Two workers by the product itself: scopes forked from one prepared base, patches as one command for each edit, a merge into a third scope.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cli } from "../lib.mjs";
import { editsOf } from "./edits.mjs";

/** The command in a store of its own, for a directory that runs start from. */
export function product(store, directory) {
  let made = 0;
  const shepherd = (...args) =>
    new Promise((resolve, reject) => {
      const env = { ...process.env, SHEPHERD_DIR: store };
      execFile(
        process.execPath,
        [cli, ...args],
        { cwd: directory, env, maxBuffer: 1 << 26 },
        (error, stdout, stderr) => {
          const code = error ? error.code : 0;
          if (code === 0 || code === 3) resolve({ code, stdout });
          else reject(new Error(`shepherd ${args.join(" ")}: ${stderr || stdout || error}`));
        },
      );
    });
  return {
    /** A run that has done nothing, from which all others are forked. */
    prepare: (name) => shepherd("run", "--scope", name, "--land", "never", "--", "true"),
    /** A scope forked from `from` in which `patch` is applied edit by edit. */
    worker: async (from, patch) => {
      const name = `${from}-${++made}`;
      await shepherd("fork", from, "--scope", name);
      for (const edit of editsOf(patch))
        await shepherd("exec", name, "--", "sh", "-c", 'printf %s "$1" | git apply --whitespace=nowarn -', "sh", edit);
      return name;
    },
    /** Merges one scope into another: the paths that conflict, and those that were settled. */
    merge: async (from, into, take) => {
      const { stdout } = await shepherd("merge", from, "--into", into, "--json", ...(take ? ["--take", take] : []));
      return JSON.parse(stdout);
    },
    /** Calls `work` with a directory that has the files of a scope. */
    files: async (name, scratch, work) => {
      const dir = mkdtempSync(join(scratch, "files-"));
      try {
        await shepherd("checkout", name, join(dir, "files"));
        return await work(join(dir, "files"));
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    },
    discard: (name) => shepherd("discard", name),
  };
}
