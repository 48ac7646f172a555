/** What who connects over TCP must know: a file of the store that only its owner can read. */
import { timingSafeEqual } from "node:crypto";
import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { Token } from "../../gateway/door.ts";
import { sha256 } from "../../trace/bytes.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { Exit } from "../errors.ts";

export const tokenPath = ({ directory }: Pick<EmbeddedStore, "directory">, name: string): string =>
  `${directory}/run/${name}.token`;

/** The token of a store for one sort of server, made at first use. Throws a sentence where somebody else could know it. */
export function tokenOf(store: Pick<EmbeddedStore, "directory">, random: () => string, name = "serve"): Token {
  const path = tokenPath(store, name);
  const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    const made = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    writeSync(made, `${random()}\n`);
    closeSync(made);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const file = openSync(path, O_RDONLY | O_NOFOLLOW);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile() || (stat.mode & 0o077) !== 0 || (process.getuid && stat.uid !== process.getuid()))
      throw new Exit(4, `${path} can be read by others, so it is no secret any more: remove it, and start again.`);
    const token = readFileSync(file, "utf8").trim();
    if (token.length < 32) throw new Exit(4, `${path} holds no token: remove it, and start again.`);
    return { path, isIn: (header) => same(header ?? "", `Bearer ${token}`) };
  } finally {
    closeSync(file);
  }
}

/** Compared by hashes, in a time that tells nothing of where they differ. */
const same = (a: string, b: string): boolean => timingSafeEqual(Buffer.from(sha256(a)), Buffer.from(sha256(b)));
