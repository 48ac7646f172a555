import fs from "node:fs";

/** Whether the kernel lists processes as files. */
export const hasProc = fs.existsSync("/proc/self/stat");

/** A process of the host, as the kernel lists it. */
export interface Process {
  pid: number;
  parent: number;
  group: number;
  session: number;
  /** One letter: R, S, D, T (stopped), Z (dead, not yet reaped), … */
  state: string;
  /** When it began, in the kernel's own measure: of two with the same number it tells which. */
  born: string;
}

/** One process of /proc; null where there is none (any more). */
export function readProcess(pid: number | string): Process | null {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return {
      pid: Number(pid),
      state: fields[0]!,
      parent: Number(fields[1]),
      group: Number(fields[2]),
      session: Number(fields[3]),
      born: fields[19]!,
    };
  } catch {
    return null;
  }
}

/** Resolves when nothing of a process is left, and of the namespace in which it is number 1. */
export async function hasEnded({ pid, born }: Process): Promise<void> {
  for (;;) {
    const now = readProcess(pid);
    if (now?.born !== born || now.state === "Z") return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const numbers = (): string[] => {
  try {
    return fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
};

/** All processes that this one can see; empty where there is no /proc. */
export const processTable = (): Process[] => numbers().flatMap((pid) => readProcess(pid) ?? []);

/** The processes that were started with `NAME=value` in their environment, or with a value that `begins` so, and what they run. */
export function processesWith(mark: string, begins = false): Array<{ pid: number; command: string }> {
  const found: Array<{ pid: number; command: string }> = [];
  for (const pid of numbers()) {
    try {
      if (!`\0${fs.readFileSync(`/proc/${pid}/environ`, "latin1")}`.includes(`\0${mark}${begins ? "" : "\0"}`))
        continue;
      const command = commandLine(pid);
      if (readProcess(pid)?.state !== "Z") found.push({ pid: Number(pid), command });
    } catch {
      // gone, or not ours to look at
    }
  }
  return found;
}

/** What a process was started as, its words with spaces between; nothing where it may not be looked at. */
export function commandLine(pid: number | string): string {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`).toString().split("\0").join(" ").trim();
  } catch {
    return "";
  }
}

/** Sends a signal to a process, or to the group `-pid`. False if it is gone already. */
export function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
