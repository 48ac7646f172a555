/** Runs that this process cannot drive itself: the command `shepherd` does, as a process of its own, which goes on when this one ends. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { EmbeddedStore } from "../trace/store.ts";

/** How the command ended: its exit code, and what it said last. */
export interface ChildEnd {
  code: number;
  said: string;
}

export interface Child {
  readonly pid: number | undefined;
  readonly ended: Promise<ChildEnd>;
  /** This process need not stay for it. */
  leave(): void;
}

export interface ChildOptions {
  /** What its agent is told to go on with. */
  instruction?: string | undefined;
  model?: string | undefined;
  land?: "never" | "auto" | "live";
}

let chosen: string | null = null;

/** Takes another file for the command, for tests. */
export const useCommand = (file: string | null): void => {
  chosen = file;
};

/** The command of this package, from wherever its code runs: `src`, `dist` or `bin`. */
function commandFile(): string {
  if (chosen !== null) return chosen;
  for (let at = dirname(fileURLToPath(import.meta.url)); dirname(at) !== at; at = dirname(at)) {
    if (!existsSync(join(at, "package.json"))) continue;
    const file = join(at, "bin/shepherd.js");
    if (existsSync(file)) return file;
    break;
  }
  throw new Error("The command `shepherd` of this package is not there: install shepherd-ai anew.");
}

/** More than this of what it said is not kept, in characters. */
const MOST = 4000;

/** Goes on with a run, or starts one that has not begun, as `shepherd resume` does. */
export function resumeElsewhere(
  store: Pick<EmbeddedStore, "directory">,
  run: string,
  { instruction, model, land = "never" }: ChildOptions = {},
): Child {
  const words = ["resume", run, "--json", "--land", land];
  if (model !== undefined) words.push("--model", model);
  // Nothing that is told is taken for an option.
  if (instruction !== undefined) words.push(instruction.startsWith("-") ? ` ${instruction}` : instruction);
  const child = spawn(process.execPath, [commandFile(), ...words], {
    // A Ctrl-C at the terminal of this process is not for it.
    detached: true,
    // The directory of this process may go.
    cwd: "/",
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, SHEPHERD_DIR: store.directory },
  });
  let said = "";
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (chunk: string) => {
    said = (said + chunk).slice(-MOST);
  });
  const ended = new Promise<ChildEnd>((resolve) => {
    child.on("error", (error) => resolve({ code: 4, said: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 4, said: lastWords(said) }));
  });
  return {
    pid: child.pid,
    ended,
    leave: () => {
      child.unref();
      (child.stderr as unknown as { unref(): void }).unref();
    },
  };
}

/** What it said of why it ended, without its name before it. */
const lastWords = (said: string): string =>
  said
    .split("\n")
    .map((line) => line.replace(/^shepherd: /, ""))
    .filter((line) => line.trim() !== "")
    .slice(-2)
    .join(" ");
