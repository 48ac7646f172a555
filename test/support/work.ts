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
  const looked = new Set<string>();
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    try {
      // Most processes have the mounts of others; to read these takes the longest.
      const namespace = fs.readlinkSync(`/proc/${pid}/ns/mnt`);
      if (looked.has(namespace)) continue;
      looked.add(namespace);
      const { length } = fs.readFileSync(`/proc/${pid}/mountinfo`, "utf8").split(` ${path} `);
      // In a sandbox it is mounted too, and hidden.
      if (length > 1 && fs.existsSync(`/proc/${pid}/root${path}`)) return `/proc/${pid}/root${path}`;
    } catch {
      // It has ended, or is another user's.
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
