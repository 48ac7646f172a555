/** Which workspace and which run a verb means. */
import { findWorkspace } from "../run/workspace.ts";
import { checkOf, greenStep } from "../scope/green.ts";
import { findScope, listScopes, type ScopeRef, workspaceOf } from "../scope/registry.ts";
import { isStepNumber, newestRun, type Revision, resolveRevision } from "../scope/revision.ts";
import { findTag, GREEN, isTagName, scopeOfTag } from "../scope/tags.ts";
import { readLog } from "../scope/view.ts";
import { target } from "../trace/bytes.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { lookup } from "../world/lookup.ts";
import { unquotePath } from "../world/paths.ts";
import type { Entry } from "../world/tree.ts";
import { Exit } from "./errors.ts";
import type { Context } from "./verb.ts";
import { named } from "./words.ts";

export { findWorkspace } from "../run/workspace.ts";

/** Who was told already which run is meant. */
const told = new WeakSet<Context>();

export interface Changing {
  /** Whether the run is changed: then it must not be discarded, and be named where there are several. */
  destructive?: boolean;
}

/** The run named, or the newest that was started from this directory; says which in that case. */
export async function chooseRun(context: Context, name: string | undefined, options: Changing = {}): Promise<ScopeRef> {
  const store = await context.store();
  if (name !== undefined) {
    const scope = await findScope(store, name);
    if (name === "main") throw new Exit(2, "main is your own directory and no run: `shepherd status` lists runs.");
    if (!scope) throw new Exit(2, `There is no run ${JSON.stringify(name)}: \`shepherd status\` lists them.`);
    if (options.destructive && scope.discarded !== null) {
      const { discardedWord } = await import("../scope/undo.ts");
      throw new Exit(2, await discardedWord(store, scope));
    }
    return scope;
  }
  const workspace = await findWorkspace(store, context.cwd);
  const newest = await newestRun(store, workspace.id);
  if (!newest) {
    const scopes = await listScopes(store, workspace.id);
    const run = scopes.find(({ parent, discarded }) => parent === null && discarded === null);
    throw new Exit(2, noRun(workspace.path, scopes, run !== undefined));
  }
  if (options.destructive) {
    const all = (await listScopes(store, workspace.id)).filter((scope) => scope.discarded === null);
    if (all.length > 1) throw new Exit(2, `Which run? There are ${named(all.map((scope) => scope.name))}: name one.`);
  }
  if (!context.out.json && !told.has(context)) {
    told.add(context);
    context.out.warn(context.out.style("dim", `(${newest.name}, the newest run from ${workspace.path})`));
  }
  return newest;
}

export const allDiscarded = (directory: string): string =>
  `All runs from ${directory} are discarded: \`shepherd status --all\` lists them, \`shepherd undo\` brings back the last.`;

/** Why no run of a directory is meant where none is named. */
function noRun(directory: string, scopes: readonly ScopeRef[], imported: boolean): string {
  const left = scopes.filter(({ discarded }) => discarded === null).map(({ name }) => name);
  if (left.length > 0)
    return `Of the runs from ${directory} only ${imported ? "imported ones" : "forks"} are left: name one of ${named(left)}.`;
  if (scopes.length > 0) return allDiscarded(directory);
  return `No run was started from ${directory}: \`shepherd run claude "TASK"\` starts one.`;
}

/** The run that `[RUN] STEP` names, before the step or in it. Throws `Exit` where that are two: a step of one is none of the other. */
function runIn(args: readonly string[]): string | undefined {
  const word = args.at(-1)!;
  const inWord = word.slice(0, Math.max(0, word.indexOf("@"))) || undefined;
  const before = args.length === 2 ? args[0] : undefined;
  if (inWord && before && inWord !== before) throw new Exit(2, twoRuns(before, inWord, word));
  return before ?? inWord;
}

const twoRuns = (before: string, named: string, word: string): string =>
  `${before} or ${named}? Name the run once: \`${word}\`.`;

/** The step that `[RUN] STEP` names by its number, and the run if it names one; null where it does not. */
export function numberedStep(args: readonly string[]): { of: string | undefined; n: number } | null {
  const word = args.at(-1) ?? "";
  const n = word.slice(word.indexOf("@") + 1);
  return args.length > 2 || !isStepNumber(n) ? null : { of: runIn(args), n: Number(n) };
}

/** A step from `[RUN] REVISION`, as words of a command line. */
export async function chooseStep(
  context: Context,
  args: string[],
  usage: string,
  options: Changing = {},
): Promise<{ run: ScopeRef; revision: Revision }> {
  const store = await context.store();
  if (args.length === 0) throw new Exit(2, `Which step? \`${usage}\``);
  if (args.length > 2) throw new Exit(2, `${JSON.stringify(args[2])} is too much here: \`${usage}\``);
  const word = args.at(-1)!;
  const of = runIn(args);
  const named = await namedStep(context, word, of, options);
  if (named) return named;
  const needsRun = isStepNumber(word) || word.startsWith("@") || of !== undefined;
  if (!needsRun) {
    const workspace = await findWorkspace(store, context.cwd);
    const newest = await newestRun(store, workspace.id);
    const revision = tellShared(context, word, await resolveRevision(store, word, newest?.name ?? null, true));
    return { run: await chooseRun(context, revision.view.ref!.name, options), revision };
  }
  const run = await chooseRun(context, of, options);
  const revision = tellShared(context, word, await resolveRevision(store, word, run.name));
  // The word is the name of another run.
  const { name } = revision.view.ref!;
  if (name !== run.name) throw new Exit(2, twoRuns(run.name, name, word));
  return { run, revision };
}

/** The step that `@NAME` names by a tag, or `@green`; null for every other word. */
async function namedStep(
  context: Context,
  word: string,
  of: string | undefined,
  options: Changing,
): Promise<{ run: ScopeRef; revision: Revision } | null> {
  const at = word.indexOf("@");
  const name = word.slice(at + 1);
  if (at < 0 || !(name === GREEN || isTagName(name))) return null;
  const store = await context.store();
  if (name === GREEN) {
    const run = await chooseRun(context, of, options);
    const command = await checkOf(store, run.workspace);
    if (command === null)
      throw new Exit(2, "No check is set, so no step is green: `shepherd tag --check COMMAND` says what is to pass.");
    const found = await greenStep(store, await readLog(store, run.log, run), command);
    if (!found)
      throw new Exit(
        3,
        `At no step of ${run.name} \`${command}\` passed, as far as is known: \`shepherd tag --green ${run.name}\` looks for one.`,
      );
    return { run, revision: await resolveRevision(store, `${run.name}@${found.step.n}`, run.name) };
  }
  const known = of === undefined ? null : await chooseRun(context, of, options);
  const workspace = known?.workspace ?? (await findWorkspace(store, context.cwd)).id;
  const tag = await findTag(store, workspace, name);
  if (!tag) throw new Exit(2, `There is no tag ${name}: \`shepherd tag\` lists them.`);
  const scope = await scopeOfTag(store, tag);
  const run = known ?? (await chooseRun(context, scope, options));
  const revision = await resolveRevision(store, `${run.name}@${tag.n}`, run.name).catch(() => null);
  // A fork has the steps of what it came from.
  if (revision?.log === tag.stands) return { run, revision };
  throw new Exit(2, `The tag ${name} is step ${tag.n} of ${scope}, and no step of ${run.name}.`);
}

/** A step that `[RUN] STEP` names by its number and that has no commit yet, in a run; null if it names no such step. */
export async function chooseUnfinished(
  context: Context,
  args: string[],
): Promise<{ run: ScopeRef; step: Step; live: boolean } | null> {
  const numbered = numberedStep(args);
  if (!numbered) return null;
  const store = await context.store();
  const run = await chooseRun(context, numbered.of);
  const step = (await readLog(store, run.log, run)).fold.steps.get(numbered.n);
  if (!step || step.sealed) return null;
  return { run, step, live: (await store.leases.holder(`log/${run.log}`)) !== null };
}

/** Says which step a commit id means, where several have it. */
function tellShared({ out }: Context, word: string, revision: Revision): Revision {
  const { shares = [], view, step } = revision;
  if (shares.length === 0 || out.json) return revision;
  const others = named(shares, 3);
  out.warn(
    out.style(
      "dim",
      `(${word} is ${view.ref!.name}@${step.n} here; ${others} ${shares.length === 1 ? "has" : "have"} the same commit)`,
    ),
  );
  return revision;
}

/** What stands at a path of a step; a path that is none is looked for as `diff` writes it, in quotes, too: some bytes cannot be typed. */
export async function entryAt(store: EmbeddedStore, { sealed }: Revision, word: string): Promise<Entry | null> {
  const tree = target(sealed.state.roots.workspace);
  const found = await lookup(store.objects, tree, Buffer.from(word));
  if (found || !word.startsWith('"')) return found;
  try {
    return await lookup(store.objects, tree, unquotePath(word));
  } catch {
    return null;
  }
}

/** Where a directory stands in a workspace, as a relative path; "" for its root, and for what is not in it. */
export function below(workspace: string, directory: string): string {
  const { path } = workspaceOf(directory);
  return path.startsWith(`${workspace}/`) ? path.slice(workspace.length + 1) : "";
}
