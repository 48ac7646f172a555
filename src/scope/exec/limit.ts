/** The limits of a sandbox's processes: what holds them, and what they have stopped. */
import type { Limits } from "../limits.ts";
import { type Group, type Held, makeGroup } from "./cgroup.ts";
import { quote } from "./quote.ts";
import { needProgram } from "./tools.ts";

/** How this host holds each limit: `each`: for every process by itself, and not for all together. */
export type Holding = { [name in Held]: "held" | "each" | "no" };

export interface Limiter {
  /** Words before a command by which it is limited; none where nothing is to be. */
  words: readonly string[];
  /** Begins to watch; the result tells, in sentences, what the limits have stopped since. */
  watch(): () => string[];
  remove(): Promise<void>;
}

const sizeText = (bytes: number): string => `${Math.round((bytes / 1e6) * 10) / 10} MB`;

/** What is told of a command that was killed for what the run has written. */
export const diskLimit = (bytes: number): string =>
  `killed because the files of this run have grown by more than ${sizeText(bytes)} (--disk): remove some before you write more`;
/** What is told of a command that its run's `--time` has ended. */
export const timeLimit = (ms: number): string =>
  `ended after ${ms / 1000} s, which is what a command of this run may take (--time)`;
export const isTimeLimit = (sentence: string): boolean => sentence.endsWith("(--time)");

/** A shell inside counts what it has of its address space, which is more than what it uses; it is what there is. */
const byEach = (group: Group | null, { memory }: Limits): number | null =>
  memory !== undefined && process.platform === "linux" && !group?.holds.includes("memory") ? memory : null;

export function makeLimiter(limits: Limits): Limiter {
  const group = makeGroup(limits);
  const each = byEach(group, limits);
  const lines = (group?.procs ?? []).map((file) => `echo 0 >${quote(file)} || exit 126`);
  if (each !== null) lines.push(`ulimit -v ${Math.max(1, Math.floor(each / 1024))} || exit 126`);
  const script = `${lines.join("\n")}\nexec "$@"`;
  return {
    words:
      lines.length === 0 ? [] : [needProgram("bash", "bash"), "--norc", "--noprofile", "-c", script, "shepherd-limits"],
    watch: () => {
      const before = group?.stopped();
      return () => {
        const after = group?.stopped();
        const said: string[] = [];
        if (after && after.memory > before!.memory)
          said.push(
            `killed because the processes of this run used more than ${sizeText(limits.memory!)} together (--memory)`,
          );
        if (after && after.processes > before!.processes)
          said.push(`no more processes were started: this run may have ${limits.processes} at once (--processes)`);
        return said;
      };
    },
    remove: async () => group?.remove(),
  };
}

/** What would hold limits here; found out by making groups for a moment, which also removes those that killed owners left. */
export async function holdingHere(limits: Limits = { memory: 1 << 30, processes: 1000 }): Promise<Holding> {
  const group = makeGroup(limits);
  await group?.remove();
  return {
    memory: group?.holds.includes("memory") ? "held" : byEach(group, { memory: 1 << 30 }) !== null ? "each" : "no",
    processes: group?.holds.includes("processes") ? "held" : "no",
  };
}

/** Which of these limits are not held as they are asked for, each in a sentence. */
export const unheld = (limits: Limits, holding: Holding): string[] => [
  ...(limits.memory !== undefined && holding.memory === "each"
    ? ["--memory is held for each process by itself, since no control group can be made here."]
    : []),
  ...(limits.memory !== undefined && holding.memory === "no"
    ? ["--memory is not held here, since no control group can be made."]
    : []),
  ...(limits.processes !== undefined && holding.processes === "no"
    ? ["--processes is not held here, since no control group can be made."]
    : []),
];
