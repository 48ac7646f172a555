/** The processes of a sandbox as the host's kernel lists them, without starting one: all are our children's children. */
import fs from "node:fs";
import { processTable, readProcess } from "./table.ts";

/** The numbers on the host of what runs in a pid namespace (as its link is read), but for its first process. */
export function processesIn(namespace: string, first: number | undefined): number[] {
  return below(process.pid).filter((pid) => {
    if (pid === first) return false;
    try {
      if (fs.readlinkSync(`/proc/${pid}/ns/pid`) !== namespace) return false;
    } catch (error) {
      // Of one that may not be looked at nobody knows where it is: it counts.
      if ((error as NodeJS.ErrnoException).code !== "EACCES") return false;
    }
    const state = readProcess(pid)?.state;
    return state !== undefined && state !== "Z";
  });
}

/** The processes that a process has started, and those have started, and so on. */
function below(root: number): number[] {
  const found: number[] = [];
  let parents: Map<number, number[]> | null = null;
  for (const left = [root]; left.length > 0; ) {
    const pid = left.pop()!;
    const children = childrenOf(pid) ?? (parents ??= byParents()).get(pid) ?? [];
    for (const child of children) {
      found.push(child);
      left.push(child);
    }
  }
  return found;
}

/** Not every kernel tells them; null then. */
function childrenOf(pid: number): number[] | null {
  let threads: string[];
  try {
    threads = fs.readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
  return threads.includes(String(pid)) && !fs.existsSync(`/proc/${pid}/task/${pid}/children`)
    ? null
    : threads.flatMap((thread) => {
        try {
          const text = fs.readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1");
          return text.split(" ").filter(Boolean).map(Number);
        } catch {
          return [];
        }
      });
}

function byParents(): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const { pid, parent } of processTable()) found.set(parent, [...(found.get(parent) ?? []), pid]);
  return found;
}

/**
 * Files that processes can write to through mappings that they share, by their paths as those see them (byte strings). Such a write leaves no
 * stamp while the page waits to be written out, so no stat tells of it.
 */
export function sharedMappings(pids: readonly number[]): Set<string> {
  const found = new Set<string>();
  for (const pid of pids) {
    let text: string;
    try {
      text = fs.readFileSync(`/proc/${pid}/maps`, "latin1");
    } catch {
      continue;
    }
    for (const [, path] of text.matchAll(/^\S+ .w.s \S+ \S+ \d+ +(\/.*)$/gm))
      if (!path!.endsWith(" (deleted)")) found.add(path!.replaceAll("\\012", "\n"));
  }
  return found;
}
