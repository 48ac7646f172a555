/** Where a worker is meant to work, and which paths an intent of its would change. */
import { posix } from "node:path";
import { any, glob } from "../../run/glob.ts";
import { follow } from "./shell/run.ts";
import type { PendingView, WorkerView } from "./view.ts";

const inName = (text: string, at: number): boolean => text[at] !== "/";

/** Whether a path lies in one of these: a glob, or a directory or file by its name. */
export function liesIn(path: string, regions: readonly string[]): boolean {
  return regions.some((region) => {
    const plain = region.replace(/^\.\//, "").replace(/\/+$/, "");
    if (plain === "" || plain === ".") return true;
    if (path === plain || path.startsWith(`${plain}/`)) return true;
    return glob(plain, { star: inName, one: inName, deep: any })(path);
  });
}

/** Text that names a file or a directory: it has a slash in it, or an extension. */
const NAMES =
  /(?<![\w/.:@-])(?:\.{0,2}\/)?(?:[\w@.-]+\/)+[\w@.-]*|(?<![\w/.:@-])[\w-]+\.(?:[cm]?[jt]sx?|py|go|rs|rb|java|kt|swift|c|h|cc|cpp|hpp|cs|php|sh|sql|css|scss|html|vue|svelte|md|json|ya?ml|toml)\b/g;

const ONLY = /\b(?:only|solely|exclusively|nowhere else|nothing else|nothing outside)\b/i;
const NEVER = /\b(?:do not|don't|don’t|never|must not|without)\b.*\b(?:touch|chang|modif|edit|writ)/i;

export interface Limits {
  /** Where alone it may work; empty where the task does not say. */
  only: string[];
  /** Where it must not. */
  never: string[];
}

/**
 * Where a task's text says that the worker may work alone, and where it must not: paths in sentences that say so. Paths that it merely names are no limit, since a task that names a failing test
 * wants something else changed.
 */
export function limitsIn(task: string): Limits {
  const limits: Limits = { only: [], never: [] };
  for (const sentence of task.slice(0, 20_000).split(/(?<=[.!?;])\s+|\n/)) {
    const which = NEVER.test(sentence) ? "never" : ONLY.test(sentence) ? "only" : null;
    if (which) limits[which].push(...namesIn(sentence));
  }
  return limits;
}

function namesIn(text: string): string[] {
  const found = new Set<string>();
  for (const [name] of text.matchAll(NAMES)) {
    const path = posix.normalize(name.replace(/^\/+|[/.]+$/g, ""));
    if (path !== "" && path !== "." && !path.startsWith("..")) found.add(path);
  }
  return [...found];
}

const PATHS = ["path", "file_path", "notebook_path"];
const CHANGES =
  /(?:^|[_-])(?:write|edit|create|update|delete|remove|move|rename|patch|insert|replace|multiedit|notebookedit)/;
/** Programs that change the files they name, and whether only the last. */
const CHANGING: { [name: string]: "all" | "last" } = {
  rm: "all",
  touch: "all",
  truncate: "all",
  tee: "all",
  unlink: "all",
  mv: "all",
  cp: "last",
  install: "last",
  ln: "last",
};

/** Paths of the workspace, relative to it, that an intent says it changes: not all that it will. */
export function changedBy({ tool, input, cwd }: PendingView, workspace: string): string[] {
  const found = new Set<string>();
  const add = (path: string, from: string): void => {
    const inside = posix.relative(workspace, posix.resolve(from, path));
    if (inside !== "" && inside !== ".." && !inside.startsWith("../")) found.add(inside);
  };
  if (typeof input !== "object" || input === null || Array.isArray(input)) return [];
  const at = posix.resolve(workspace, cwd ?? ".");
  const name = tool
    .toLowerCase()
    .split(/__|[.:/]/)
    .at(-1)!;
  if (CHANGES.test(name)) for (const key of PATHS) if (typeof input[key] === "string") add(input[key], at);
  const command = input.command ?? input.cmd;
  if (typeof command !== "string") return [...found];
  follow(
    command,
    { cwd: at, home: "/root", workspace, env: {} },
    {
      command: ({ name: program, args, cwd: here }) => {
        const files = args.filter(({ text, unknown, glob: many }) => !unknown && !many && !text.startsWith("-"));
        const inPlace = program === "sed" && args.some(({ text }) => /^-[nErsz]*i|^--in-place/.test(text));
        const which = CHANGING[program] ?? (inPlace ? "last" : null);
        if (which && !here.unknown)
          for (const { text } of which === "all" ? files : files.slice(-1)) add(text, here.text);
        return null;
      },
      write: (to, here) => {
        if (!to.unknown && !here.unknown && to.text !== "") add(to.text, here.text);
      },
      lost: () => {},
    },
  );
  return [...found];
}

/** Paths that a worker has changed, or is about to. */
export const pathsOf = (view: WorkerView): { path: string; n: number | null }[] => [
  ...view.modified.map(({ path }) => ({ path, n: null })),
  ...view.pending.flatMap((intent) => changedBy(intent, view.workspace).map((path) => ({ path, n: intent.n }))),
];
