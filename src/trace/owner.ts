/** Who a process is, told apart from any other process that ever had its pid. */
import { execFileSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import type { Owner } from "./ports.ts";

const linux = process.platform === "linux";

function bootId(): string {
  try {
    if (linux) return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return execFileSync("sysctl", ["-n", "kern.boottime"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

/** Start time of a process; null if there is none. */
function startOf(pid: number): string | null {
  try {
    if (!linux) return execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim() || null;
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
  self ??= { boot: bootId(), pid: process.pid, start: startOf(process.pid) ?? "unknown", ns: namespace() };
  return self;
}

/** Whether that process still runs. One in another pid namespace cannot be seen from here and counts as alive. */
export function alive(owner: Owner): boolean {
  const me = thisOwner();
  if (owner.boot !== me.boot) return false;
  if (owner.ns !== me.ns) return true;
  return startOf(owner.pid) === owner.start;
}

export const sameOwner = (a: Owner, b: Owner): boolean =>
  a.boot === b.boot && a.pid === b.pid && a.start === b.start && a.ns === b.ns;
