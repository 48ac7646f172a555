/** The Git directory of a workspace that has a file named `.git` instead: a worktree, or a submodule by itself. */
import { lstatSync, readFileSync, realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";

/** A pointer is one short line; what is larger is none. */
const MOST = 64 << 10;

export interface OuterGit {
  /** Where commits, branches and index lie, as a real path: of a worktree the directory of the whole repository, since they share it. */
  directory: string;
  /** The part of it that is the workspace's own, as a path in it; empty for all. */
  own: string;
}

/**
 * The Git directory outside of `workspace` (a real path) that it belongs to. Null where it has a `.git` of its own, or none, or points to what is
 * not there.
 */
export function outerGit(workspace: string): OuterGit | null {
  try {
    const pointer = `${workspace}/.git`;
    const stat = lstatSync(pointer);
    if (!stat.isFile() || stat.size > MOST) return null;
    const named = /^gitdir: (.+?)\r?\n?$/s.exec(readFileSync(pointer, "utf8"))?.[1];
    if (named === undefined) return null;
    const own = realpathSync(resolve(workspace, named));
    const all = commonOf(own);
    const isIn = (path: string, directory: string): boolean => path === directory || path.startsWith(`${directory}/`);
    // The scope sees it at its path, as one directory: a worktree's own part lies in that of the repository.
    if (!isIn(own, all) || isIn(all, workspace) || isIn(workspace, all) || !statSync(all).isDirectory()) return null;
    return { directory: all, own: own.slice(all.length + 1) };
  } catch {
    return null;
  }
}

function commonOf(own: string): string {
  try {
    return realpathSync(resolve(own, readFileSync(`${own}/commondir`, "utf8").replace(/\r?\n$/, "")));
  } catch {
    return own;
  }
}
