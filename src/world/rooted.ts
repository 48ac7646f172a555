/** Paths in a directory that is taken for the root of a file system, whose links are not to be believed. */
import * as fs from "node:fs";
import { arg, bytesOf, codeOf, denied, gone } from "./dirs.ts";

/** So many links one path may lead through, as for the kernel. */
const LINKS = 40;

/**
 * What a path in a root comes to: an absolute path in it with no link on its way nor at its end, as a program that has it for its root would find
 * it; null where nothing is there. Byte strings. Nobody else may change it meanwhile.
 */
export function resolveIn(root: string, path: string): string | null {
  const base = bytesOf(root).replace(/\/+$/, "");
  const names = path.split("/").reverse();
  const here: string[] = [];
  for (let links = 0; names.length > 0; ) {
    const name = names.pop()!;
    if (name === "" || name === ".") continue;
    if (name === "..") {
      here.pop();
      continue;
    }
    const at = arg([base, ...here, name].join("/"));
    const stat = lookAt(at);
    if (!stat) return null;
    if (!stat.isSymbolicLink()) {
      if (names.some((each) => each !== "" && each !== ".") && !stat.isDirectory()) return null;
      here.push(name);
      continue;
    }
    if (++links > LINKS) return null;
    const target = fs.readlinkSync(at, "latin1");
    if (target.startsWith("/")) here.length = 0;
    names.push(...target.split("/").reverse());
  }
  return `/${here.join("/")}`;
}

/** What may not be seen, or has too long a path, is as if it were not there. */
export function lookAt(at: string | Buffer): fs.Stats | undefined {
  try {
    return fs.lstatSync(at, { throwIfNoEntry: false });
  } catch (error) {
    if (denied(error) || codeOf(error) === "ENAMETOOLONG") return undefined;
    throw error;
  }
}

/** The same as a path for whoever sees the root from outside. @param path as a program in it has it */
export function findIn(root: string, path: string): string | Buffer | null {
  const at = resolveIn(root, bytesOf(path));
  return at === null ? null : arg(bytesOf(root).replace(/\/+$/, "") + at);
}

/** A file of a root is read up to so many bytes. */
const MOST = 4 << 20;

/** The home directory of a user by what the root itself says; null where it does not. */
export function homeIn(root: string, uid: number): string | null {
  const file = findIn(root, "/etc/passwd");
  if (!file) return null;
  let fd: number;
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOFOLLOW);
  } catch (error) {
    if (denied(error) || gone(error)) return null;
    throw error;
  }
  try {
    const { size } = fs.fstatSync(fd);
    if (!fs.fstatSync(fd).isFile() || size > MOST) return null;
    for (const line of fs.readFileSync(fd, "utf8").split("\n")) {
      const [, , id, , , home] = line.split(":");
      if (id === String(uid) && home?.startsWith("/")) return home;
    }
    return null;
  } finally {
    fs.closeSync(fd);
  }
}
