/** Stops processes for a moment, so that what they have written is all of one moment. */
import { readdirSync } from "node:fs";
import { type Process, readProcess, send } from "./table.ts";

/**
 * How long they may take to stop, in ms: one that waits for a disk does not stop before it has its answer, nor does it write meanwhile; and who
 * starts others without end is not to hold up the capture for ever.
 */
const PATIENCE = 200;

/**
 * Works while processes stand still, and lets those go on that it has stopped: at the end, or once it has taken longer than `most` ms. `held` tells
 * which. `list` is asked again until it names no new one, since they may start others meanwhile.
 */
export async function whileStopped<T>(
  list: () => Promise<readonly number[]>,
  work: () => Promise<T>,
  most = Number.POSITIVE_INFINITY,
): Promise<{ done: T; held: boolean }> {
  const stopped = new Map<number, Process>();
  let held = true;
  const letGo = (): void => {
    for (const { pid, born } of stopped.values()) if (readProcess(pid)?.born === born) send(pid, "SIGCONT");
    stopped.clear();
  };
  let timer: NodeJS.Timeout | undefined;
  try {
    const until = performance.now() + PATIENCE;
    for (let more = true; more && performance.now() < until; ) {
      more = false;
      for (const pid of await list()) {
        const process = stopped.has(pid) ? null : readProcess(pid);
        if (!process || process.state === "T" || !send(pid, "SIGSTOP")) continue;
        stopped.set(pid, process);
        more = true;
      }
      while (performance.now() < until && [...stopped.values()].some(isMoving))
        await new Promise((resolve) => setTimeout(resolve, 1));
    }
    if (most < Number.POSITIVE_INFINITY)
      timer = setTimeout(() => {
        held = false;
        letGo();
      }, most);
    return { done: await work(), held };
  } finally {
    clearTimeout(timer);
    letGo();
  }
}

/** Whether one of its threads may still be at work. */
function isMoving({ pid, born }: Process): boolean {
  if (readProcess(pid)?.born !== born) return false;
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return false;
  }
  return threads.some((thread) => ["R", "S", "D"].includes(readProcess(`${pid}/task/${thread}`)?.state ?? ""));
}
