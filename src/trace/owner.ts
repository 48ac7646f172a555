/** Who a process is, told apart from any other process that ever had its pid. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Owner } from "./ports.ts";

const UNKNOWN = "unknown";
const linux = process.platform === "linux";

/** Of another program. What starts it is loaded only then, since every command would wait for that. */
const outputOf = (program: string, ...args: string[]): string =>
  process.getBuiltinModule("node:child_process").execFileSync(program, args, { encoding: "utf8" }).trim();

function bootId(): string {
  try {
    if (linux) return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    // Not the time of the boot, which moves when the clock is set.
    return outputOf("sysctl", "-n", "kern.bootsessionuuid");
  } catch {
    return UNKNOWN;
  }
}

/** Start time of a process; null if there is none. */
function startOf(pid: number): string | null {
  try {
    if (!linux) return outputOf("ps", "-o", "lstart=", "-p", String(pid)) || null;
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name, in brackets, may hold anything; the fields start behind its last bracket.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? null : fields[19]!;
  } catch {
    return null;
  }
}

function namespace(): string {
  try {
    return linux ? readlinkSync("/proc/self/ns/pid") : "host";
  } catch {
    return "host";
  }
}

let self: Owner | null = null;

/** This process. */
export function thisOwner(): Owner {
  self ??= { boot: bootId(), pid: process.pid, start: startOf(process.pid) ?? UNKNOWN, ns: namespace() };
  return self;
}

/**
 * Whether that process still runs. One in another pid namespace counts as alive unless it is certain that it is gone: only the first namespace
 * of a machine sees all others.
 */
export function alive(owner: Owner): boolean {
  const me = thisOwner();
  if (owner.boot !== me.boot) return false;
  if (owner.ns === me.ns) return owner.start === UNKNOWN ? exists(owner.pid) : startOf(owner.pid) === owner.start;
  return me.ns !== FIRST || runsBelow(owner);
}

/** Whether there is a process with that pid. Where start times cannot be read, a pid is all there is. */
export function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The pid namespace that is there from the boot on; its number is fixed in the kernel. */
const FIRST = "pid:[4026531836]";

/** Whether a process of some namespace below this one has that pid there, and that start. */
function runsBelow({ pid, start }: Owner): boolean {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || startOf(Number(name)) !== start) continue;
    try {
      const pids = /^NSpid:(.*)$/m
        .exec(readFileSync(`/proc/${name}/status`, "latin1"))?.[1]
        ?.trim()
        .split(/\s+/);
      if (!pids || pids.at(-1) === String(pid)) return true;
    } catch {
      // It ended meanwhile.
    }
  }
  return false;
}

/** Whether a value that was read is an owner. */
export const isOwner = (value: unknown): value is Owner => {
  const { boot, pid, start, ns } = (value ?? {}) as Partial<Owner>;
  return typeof boot === "string" && Number.isSafeInteger(pid) && typeof start === "string" && typeof ns === "string";
};

export const sameOwner = (a: Owner, b: Owner): boolean =>
  a.boot === b.boot && a.pid === b.pid && a.start === b.start && a.ns === b.ns;
