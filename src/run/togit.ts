/**
 * A run as a Git repository: a commit for each of its commits, with the same parents, and a branch for each scope. Written by `git fast-import`. What
 * was written once is known by the commit that its message names, so that a later export adds what has come since.
 */
import { execFile, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { promisify } from "node:util";
import { isName } from "../scope/registry.ts";
import type { Closure } from "../trace/bundle/closure.ts";
import type { NamedLog } from "../trace/bundle/write.ts";
import { decodeJson, target } from "../trace/bytes.ts";
import { frameHash } from "../trace/chain.ts";
import type { Commit } from "../trace/commit.ts";
import type { Hash, LogHeader } from "../trace/ports.ts";
import { type Fold, type Step, startFold } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { countEmpty, startFastImport } from "../world/fastimport.ts";
import { GitError } from "./git.ts";

export interface ToGit {
  /** Commits that were written now, and those that were there. */
  commits: number;
  known: number;
  branches: string[];
  /** Steps without a commit. */
  unfinished: number;
  /** Paths that Git cannot hold, as Latin-1. */
  leftOut: string[];
  /** Directories without a file, at the newest step of the run. */
  empty: number;
  /** Whether directories named .git stay behind. */
  vcs: boolean;
}

export interface ToGitOptions {
  /** What a step is told as: the first line of a commit's message. */
  rowOf: (scope: string, step: Step) => Promise<string>;
  onProgress?: (commits: number) => void;
  signal?: AbortSignal | undefined;
}

/** By this setting a repository is known as one of ours. */
const MARK = "shepherd.export";
/** Where commits are written before they get their branches. */
const SCRATCH = "refs/shepherd/export";

/** Makes a bare repository of a run in `directory`, or adds to one that this made before. Throws `GitError`. */
export async function exportToGit(
  store: EmbeddedStore,
  directory: string,
  { scopes, logs, stretches, edges }: Closure & { scopes: readonly NamedLog[] },
  options: ToGitOptions,
): Promise<ToGit> {
  const known = await openRepository(directory, scopes[0]!.name);
  const program = startProgram(directory, options.signal);
  let marks = 0;
  const files = startFastImport(store.objects, program.write, () => ++marks);
  // By our commits, what Git calls theirs, and their trees.
  const made = new Map<Hash, { name: string; tree: Hash }>();
  const names = new Map(scopes.map(({ name, log }) => [log, name]));
  const done: ToGit = { commits: 0, known: 0, branches: [], unfinished: 0, leftOut: [], empty: 0, vcs: false };

  const add = async (id: Hash, tree: Hash, parents: readonly Hash[], told: () => Promise<Told>): Promise<void> => {
    if (made.has(id)) return;
    const there = known.get(id);
    if (there) {
      made.set(id, { name: there, tree });
      done.known++;
      return;
    }
    const [first, ...others] = parents.flatMap((parent) => made.get(parent) ?? []);
    const commands = await files.changes(first?.tree ?? null, tree);
    const { author, at, ended, message } = await told();
    const text = Buffer.from(message.toWellFormed());
    const name = `:${++marks}`;
    const who = `${author} <${author}@shepherd.invalid>`;
    await program.write(
      Buffer.concat([
        // Else the commit before would be its parent.
        Buffer.from(first ? "" : `reset ${SCRATCH}\n\n`),
        Buffer.from(`commit ${SCRATCH}\nmark ${name}\nauthor ${who} ${seconds(at)} +0000\n`),
        Buffer.from(`committer ${who} ${seconds(ended)} +0000\ndata ${text.length}\n`),
        text,
        Buffer.from(`\n${first ? `from ${first.name}\n` : ""}${others.map((each) => `merge ${each.name}\n`).join("")}`),
        ...commands,
        Buffer.from("\n"),
      ]),
    );
    made.set(id, { name, tree });
    done.commits++;
    options.onProgress?.(done.commits);
  };

  // An edge says nothing of when it was.
  const created = logs[0]?.header.meta.created;
  const began = typeof created === "number" ? created : 0;
  try {
    for (const [id, bytes] of edges) {
      const { parents, state } = decodeJson(bytes) as unknown as Commit;
      await add(id, target(state.roots.workspace), parents, async () => ({
        author: "main",
        at: began,
        ended: began,
        message: `The directory as the run took it in\n\nShepherd-Commit: ${id}\n`,
      }));
    }
    const folds = new Map<string, Fold>();
    const steps: Made[] = [];
    // Siblings share commits. Of a shared one the step that came first is told, so that what a later export adds changes nothing before it.
    const first = new Map<Hash, Made>();
    for (const { part, from, to } of stretches) {
      const { header } = part;
      const fold = folds.get(header.id) ?? startFold(header);
      folds.set(header.id, fold);
      if (from >= to) continue;
      const scope = names.get(header.id) ?? nameIn(header);
      for await (const frame of store.logs.read(header.id, from)) {
        options.signal?.throwIfAborted();
        for (const step of fold.push(frame, frameHash(frame))) {
          const each = { scope, log: header.id, step };
          steps.push(each);
          const before = first.get(step.sealed!.id);
          if (!before || isBefore(each, before)) first.set(step.sealed!.id, each);
        }
        if (frame.seq + 1 === to) break;
      }
    }
    for (const { sealed } of steps.map(({ step }) => step)) {
      options.signal?.throwIfAborted();
      const { id, parents, state, carry } = sealed!;
      done.vcs ||= carry.vcs !== undefined || carry.outerVcs !== undefined;
      await add(id, target(state.roots.workspace), parents, async () => {
        const { scope, step } = first.get(id)!;
        return toldOf(scope, step, await options.rowOf(scope, step));
      });
    }
    for (const { name, log } of scopes) {
      const fold = folds.get(log)!;
      done.unfinished += fold.pending().length;
      const { id, state } = fold.head();
      const commit = id === null ? undefined : made.get(id);
      if (!commit) continue;
      await program.write(Buffer.from(`reset refs/heads/${name}\nfrom ${commit.name}\n\n`));
      done.branches.push(name);
      if (log === scopes[0]!.log) done.empty = await countEmpty(store.objects, target(state!.roots.workspace));
    }
    await program.write(Buffer.from("done\n"));
  } catch (error) {
    program.stop();
    throw error;
  }
  await program.end();
  await git(directory, ["update-ref", "-d", SCRATCH]);
  done.leftOut = [...files.leftOut].sort();
  return done;
}

/** What a log without a name was called once, if it says so. */
function nameIn({ meta }: LogHeader): string {
  return typeof meta.name === "string" && isName(meta.name) ? meta.name : "run";
}

/** A step, and where it was made. */
interface Made {
  scope: string;
  log: string;
  step: Step;
}

const isBefore = (a: Made, b: Made): boolean => a.step.at < b.step.at || (a.step.at === b.step.at && a.log < b.log);

interface Told {
  author: string;
  /** ms since the epoch. */
  at: number;
  ended: number;
  message: string;
}

function toldOf(scope: string, step: Step, row: string): Told {
  const { at, n, sealed, outcome, outcomeWitness } = step;
  const ended = typeof outcomeWitness.at === "number" ? outcomeWitness.at : at;
  const facts = { Run: scope, Step: n, Commit: sealed!.id, Status: outcome?.status ?? "" };
  const trailers = Object.entries(facts).map(([name, value]) => `Shepherd-${name}: ${value}\n`);
  return { author: scope, at, ended, message: `${row || step.intent.kind}\n\n${trailers.join("")}` };
}

/** Git takes no time before 1970, and none that is far off. */
const seconds = (ms: number): number => Math.floor(Math.min(Math.max(ms, 0), 253_402_300_799_000) / 1000) || 0;

/** Makes the repository where there is none; gives the commits that are in it, by those of ours that they stand for. */
async function openRepository(directory: string, branch: string): Promise<Map<Hash, string>> {
  const known = new Map<Hash, string>();
  if (!existsSync(directory) || readdirSync(directory).length === 0) {
    await git(".", ["init", "--quiet", "--bare", "--template=", `--initial-branch=${branch}`, "--", directory]);
    await git(directory, ["config", MARK, "true"]);
    return known;
  }
  const ours = await git(directory, ["config", "--local", "--get", MARK]).catch(() => "");
  if (ours.trim() !== "true")
    throw new GitError(
      `${directory} is not empty, and no repository that \`shepherd export --git\` made: name a new directory.`,
    );
  const format = "--format=%H %(trailers:key=Shepherd-Commit,valueonly,separator=%x20)";
  for (const line of (await git(directory, ["log", "--branches", format])).split("\n")) {
    const [name, id] = line.split(" ");
    if (name && id && /^[0-9a-f]{64}$/.test(id)) known.set(id, name);
  }
  return known;
}

/** Nothing of the environment says which repository is meant, and no program of the user's is run. */
const environment = (): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("GIT_"))),
  LC_ALL: "C",
});
const argumentsFor = (directory: string, args: readonly string[]): string[] => [
  ...(directory === "." ? [] : [`--git-dir=${directory}`]),
  ...["-c", "core.hooksPath=/dev/null"],
  ...args,
];

async function git(directory: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)("git", argumentsFor(directory, args), {
      env: environment(),
      maxBuffer: 1 << 30,
    });
    return stdout;
  } catch (error) {
    throw new GitError(said(String((error as { stderr?: string }).stderr ?? ""), error as Error));
  }
}

const said = (text: string, error?: Error): string =>
  `Git did not do it: ${text.trim().split("\n").at(-1) || (error?.message ?? "it ended")}`.replace(/\.?$/, ".");

interface Program {
  write(bytes: Uint8Array): Promise<void>;
  /** Throws `GitError` if it did not take all of it. */
  end(): Promise<void>;
  /** Ends it where it is: nothing of what it was told gets a name. */
  stop(): void;
}

function startProgram(directory: string, signal: AbortSignal | undefined): Program {
  const child = spawn("git", argumentsFor(directory, ["fast-import", "--quiet", "--done", "--date-format=raw"]), {
    env: environment(),
    stdio: ["pipe", "ignore", "pipe"],
    ...(signal && { signal }),
  });
  let text = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    text = (text + chunk).slice(-10_000);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  ended.catch(() => {});
  // Told by its end.
  child.stdin.on("error", () => {});
  const failed = (): GitError => {
    const moved = /Not updating refs\/heads\/(\S+)/.exec(text)?.[1];
    if (moved)
      return new GitError(`The branch ${moved} of ${directory} has other commits since: name a new directory.`);
    return new GitError(said(text.replaceAll(/^fast-import: dumping crash report.*$/gm, "")));
  };
  return {
    write: async (bytes) => {
      if (child.exitCode !== null) {
        await ended;
        throw failed();
      }
      if (!child.stdin.write(bytes))
        await Promise.race([new Promise((resolve) => child.stdin.once("drain", resolve)), ended]);
    },
    stop: () => void child.kill("SIGKILL"),
    end: async () => {
      child.stdin.end();
      if ((await ended) !== 0) throw failed();
    },
  };
}
