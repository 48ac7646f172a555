/** A user's directory and store for agents of a program. */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { removeAll } from "./remove.ts";

export interface LibraryRig {
  directory: string;
  /** Options of `start` that lead there. */
  at: { in: string; store: string };
  read(path: string): string;
  end(): void;
}

export function libraryRig(files: { [path: string]: string } = { "a.txt": "a\n" }): LibraryRig {
  const directory = mkdtempSync(`${tmpdir()}/shepherd-library-`);
  const at = { in: `${directory}/ws`, store: `${directory}/store` };
  mkdirSync(at.in);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(at.in, path)), { recursive: true });
    writeFileSync(join(at.in, path), text);
  }
  return {
    directory,
    at,
    read: (path) => readFileSync(join(at.in, path), "utf8"),
    end: () => removeAll(directory),
  };
}
