/** Renames as programs do that move: a directory that the kernel would not rename goes entry by entry. Paths are byte strings. */
import * as fs from "node:fs";

const b = (bytes: string): Buffer => Buffer.from(bytes, "latin1");

export function move(from: string, to: string): void {
  try {
    fs.renameSync(b(from), b(to));
  } catch (error) {
    // Outside of a sandbox nobody looks after renames in an ordinary user's overlays: see native/renames.c.
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    const { mode, atimeMs, mtimeMs } = fs.statSync(b(from));
    fs.chmodSync(b(from), mode | 0o700);
    fs.mkdirSync(b(to), { mode: 0o700 });
    for (const name of fs.readdirSync(b(from), "latin1")) move(`${from}/${name}`, `${to}/${name}`);
    fs.rmdirSync(b(from));
    fs.utimesSync(b(to), atimeMs / 1000, mtimeMs / 1000);
    fs.chmodSync(b(to), mode & 0o7777);
  }
}
