/** Control groups, which hold the limits of a sandbox's processes, where the host lets us make them: of version 2, or those of version 1. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import type { Limits } from "../limits.ts";
import { quote } from "./quote.ts";
import { readProcess } from "./table.ts";
import { needProgram } from "./tools.ts";

/** What a group can hold; `time` needs none. */
export type Held = "memory" | "processes";

export interface Group {
  /** Which limits it holds. */
  holds: readonly Held[];
  /** A process that writes 0 there is in it, and all that it starts. */
  procs: readonly string[];
  /** How often each limit has stopped something. */
  stopped(): { [name in Held]: number };
  /** When nothing runs in it any more. */
  remove(): Promise<void>;
}

interface Place {
  version: 1 | 2;
  /** Directories in which a group can be tried, the nearest first. */
  folders: string[];
  holds: Held[];
}

const CONTROLLER: { [name in Held]: string } = { memory: "memory", processes: "pids" };

/** Says whose it is: by a number that only one namespace of processes knows, and when that process began. */
const NAME = /^shepherd-(\d+)-(\d+)-(\d+)-[0-9a-f]+$/;

const namespace = (): string => fs.readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");

/** Where groups of this process can be, from what the kernel says of its mounts. */
export function placesOf(mountinfo: string, own: string, wanted: readonly Held[]): Place[] {
  const mounts = mountinfo.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ");
    const [, , , root, at] = before!.split(" ");
    const [type, , options] = after?.split(" ") ?? [];
    return root && at && type?.startsWith("cgroup") ? [{ root, at, type, options: options?.split(",") ?? [] }] : [];
  });
  const groups = own.split("\n").flatMap((line) => {
    const [, controllers, at] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    return controllers === undefined ? [] : [{ controllers: controllers.split(","), at: at! }];
  });
  const folder = ({ root, at }: { root: string; at: string }, group: string): string => {
    const rest = root === "/" ? group : group.startsWith(root) ? group.slice(root.length) : "/";
    return path.join(at, rest).replace(/(.)\/$/, "$1");
  };
  const found: Place[] = [];
  const left: Held[] = [];
  for (const each of wanted) {
    const controller = CONTROLLER[each];
    const mount = mounts.find(({ type, options }) => type === "cgroup" && options.includes(controller));
    const group = groups.find(({ controllers }) => controllers.includes(controller));
    if (mount && group) found.push({ version: 1, folders: [folder(mount, group.at)], holds: [each] });
    else left.push(each);
  }
  const mount = mounts.find(({ type }) => type === "cgroup2");
  const group = groups.find(({ controllers }) => controllers[0] === "");
  if (left.length === 0 || !mount || !group) return found;
  // A group in which there are processes passes no controller on, so one above it may have to do.
  const folders: string[] = [];
  for (let at = folder(mount, group.at); ; at = path.dirname(at)) {
    folders.push(at);
    if (at === mount.at || at === "/") break;
  }
  return [...found, { version: 2, folders, holds: left }];
}

const write = (file: string, text: string): void => fs.writeFileSync(file, text, { flag: "r+" });
const tried = (work: () => void): boolean => {
  try {
    work();
    return true;
  } catch {
    return false;
  }
};

/** Removes groups of owners that are gone: only empty ones can be. */
function sweep(folder: string): void {
  for (const name of fs.readdirSync(folder)) {
    const [, space, pid, start] = NAME.exec(name) ?? [];
    if (pid && space === namespace() && readProcess(pid)?.born !== start)
      tried(() => fs.rmdirSync(path.join(folder, name)));
  }
}

/** A group below a folder with these limits in force; null where that cannot be. */
function groupIn(folder: string, { version }: Place, holds: readonly Held[], limits: Limits): string | null {
  if (version === 2) {
    const passed = new Set(fs.readFileSync(path.join(folder, "cgroup.subtree_control"), "latin1").trim().split(" "));
    for (const each of holds)
      if (!passed.has(CONTROLLER[each])) write(path.join(folder, "cgroup.subtree_control"), `+${CONTROLLER[each]}`);
  }
  sweep(folder);
  const at = path.join(
    folder,
    `shepherd-${namespace()}-${process.pid}-${readProcess("self")?.born}-${randomBytes(4).toString("hex")}`,
  );
  fs.mkdirSync(at);
  const set = (): void => {
    const memory = String(limits.memory);
    if (holds.includes("memory")) {
      write(path.join(at, version === 2 ? "memory.max" : "memory.limit_in_bytes"), memory);
      // Else what is too much would go to the disk; not every kernel counts that.
      if (version === 2) tried(() => write(path.join(at, "memory.swap.max"), "0"));
      else tried(() => write(path.join(at, "memory.memsw.limit_in_bytes"), memory));
    }
    if (holds.includes("processes")) write(path.join(at, "pids.max"), String(limits.processes));
    // Whether a process may be moved there is up to more than the rights of the file.
    const join = `echo 0 >${quote(path.join(at, "cgroup.procs"))}`;
    execFileSync(needProgram("bash", "bash"), ["--norc", "--noprofile", "-c", join], { stdio: "ignore", env: {} });
  };
  if (tried(set)) return at;
  tried(() => fs.rmdirSync(at));
  return null;
}

const read = (file: string): string => {
  try {
    return fs.readFileSync(file, "latin1");
  } catch {
    return "";
  }
};
const number = (text: string, name: string): number => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);

/** Makes groups that hold as much of these limits as this host lets us; null where that is nothing. */
export function makeGroup(limits: Limits): Group | null {
  const wanted = (["memory", "processes"] as const).filter((each) => limits[each] !== undefined);
  if (wanted.length === 0 || process.platform !== "linux") return null;
  const groups: Array<{ at: string; version: 1 | 2; holds: readonly Held[] }> = [];
  const attempt = (place: Place, holds: readonly Held[]): boolean =>
    place.folders.some((folder) => {
      let at: string | null = null;
      tried(() => {
        at = groupIn(folder, place, holds, limits);
      });
      if (at !== null) groups.push({ at, version: place.version, holds });
      return at !== null;
    });
  // A process is in one group of version 2 alone: if not all can be held there, then one.
  for (const place of placesOf(read("/proc/self/mountinfo"), read("/proc/self/cgroup"), wanted))
    if (!attempt(place, place.holds) && place.holds.length > 1) place.holds.some((each) => attempt(place, [each]));
  if (groups.length === 0) return null;
  return {
    holds: groups.flatMap(({ holds }) => holds),
    procs: groups.map(({ at }) => path.join(at, "cgroup.procs")),
    stopped: () => {
      const sum = { memory: 0, processes: 0 };
      for (const { at, version, holds } of groups) {
        const file = version === 2 ? "memory.events" : "memory.oom_control";
        if (holds.includes("memory")) sum.memory += number(read(path.join(at, file)), "oom_kill");
        if (holds.includes("processes")) sum.processes += number(read(path.join(at, "pids.events")), "max");
      }
      return sum;
    },
    remove: async () => {
      for (const { at } of groups)
        for (let tries = 0; tries < 200 && fs.existsSync(at) && !tried(() => fs.rmdirSync(at)); tries++)
          await new Promise((resolve) => setTimeout(resolve, 10));
    },
  };
}
