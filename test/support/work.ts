/** Where the files of runs lie while somebody works on them, as those see them who have the mounts. */
import * as fs from "node:fs";
import { join } from "node:path";

/** The workspaces of all scopes of a store that are there now. */
export function workspacesIn(store: string): string[] {
  const work = join(store, "cache/work");
  if (!fs.existsSync(work)) return [];
  return fs
    .readdirSync(work)
    .map((log) => join(work, log, "workspace"))
    .flatMap((path) => (fs.existsSync(`${path}.base`) ? (mountedAt(path) ?? []) : fs.existsSync(path) ? path : []));
}

/** A path that leads to what somebody has mounted there. */
function mountedAt(path: string): string | null {
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    try {
      const { length } = fs.readFileSync(`/proc/${pid}/mountinfo`, "utf8").split(` ${path} `);
      // In a sandbox it is mounted too, and hidden.
      if (length > 1 && fs.existsSync(`/proc/${pid}/root${path}`)) return `/proc/${pid}/root${path}`;
    } catch {
      // It has ended.
    }
  return null;
}

/** Directories that hold what scopes have written, whoever has them open; and maybe more. */
export const writtenIn = (store: string): string[] =>
  (fs.existsSync(join(store, "cache/work")) ? fs.readdirSync(join(store, "cache/work")) : [])
    .filter((log) => !log.startsWith("."))
    .map((log) => join(store, "cache/work", log, "workspace"))
    // Of what has changed nothing there is neither.
    .map((path) => (fs.existsSync(`${path}.upper`) ? `${path}.upper` : path))
    .filter((path) => fs.existsSync(path));
