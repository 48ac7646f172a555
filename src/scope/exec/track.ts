import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { hasProc, processesWith, send } from "./table.ts";
import { NoTool } from "./tools.ts";

/**
 * Finds the processes of a scope where there is no pid namespace that holds them. What is lost against one: a process that clears
 * its environment (with /proc) or leaves its process group (without) is not found, and nothing ends when this process is killed, before the
 * next that drives the scope calls `endLeftOver`.
 */
export interface Tracker {
  /** Variables that commands must be started with. */
  env: Record<string, string>;
  /** Takes note of a process that leads a group of its own. */
  began(pid: number): void;
  list(): Promise<Array<{ pid: number; command: string }>>;
  /** Sends SIGKILL to all that `list` names until there is none; throws if some stay. */
  kill(): Promise<void>;
}

/** Tells, in the environment, which sandbox a process belongs to. */
const MARK = "SHEPHERD_SANDBOX";

/** The first half of a mark: the same for whoever drives the scope. */
const markOf = (scope: string): string => `${MARK}=${createHash("sha256").update(scope).digest("hex").slice(0, 18)}.`;

export function startTracker(proc = hasProc, scope = ""): Tracker {
  const [name, value] = `${markOf(scope)}${randomBytes(9).toString("hex")}`.split("=") as [string, string];
  const groups = new Set<number>();
  const list: Tracker["list"] = async () => (proc ? processesWith(`${name}=${value}`) : inGroups(groups));
  return { env: { [name]: value }, began: (pid) => groups.add(pid), list, kill: () => killAll(list) };
}

/** Ends what is left of a scope that only this process drives, since another was killed that did. Finds nothing without /proc. */
export const endLeftOver = (scope: string): Promise<void> =>
  killAll(async () => processesWith(markOf(scope), true).filter(({ pid }) => pid !== process.pid));

async function killAll(list: Tracker["list"]): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    const left = await list();
    if (left.length === 0) return;
    for (const { pid } of left) send(pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("Some processes of the scope cannot be killed; look at them with `ps` before you go on.");
}

/** The processes of some groups; forgets the groups that have none, since their numbers may pass to others. */
function inGroups(groups: Set<number>): Promise<Array<{ pid: number; command: string }>> {
  if (groups.size === 0) return Promise.resolve([]);
  return new Promise((resolve, reject) => {
    execFile("ps", ["-A", "-o", "pid=,pgid=,stat=,command="], { maxBuffer: 64 << 20 }, (error, text) => {
      if (error)
        return reject(new NoTool(`The processes of the scope cannot be listed (${error.message}): is there ps?`));
      const rows = text.split("\n").flatMap((line) => {
        const [, pid, group, state, command] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
        return pid && groups.has(Number(group))
          ? [{ pid: Number(pid), group: Number(group), state, command: command! }]
          : [];
      });
      for (const group of groups) if (!rows.some((row) => row.group === group)) groups.delete(group);
      resolve(rows.filter((row) => !row.state!.startsWith("Z")).map(({ pid, command }) => ({ pid, command })));
    });
  });
}
