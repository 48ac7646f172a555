/** `shepherd export --git`: a run as a Git repository. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { exportToGit } from "../run/togit.ts";
import type { ScopeRef } from "../scope/registry.ts";
import { partsOf } from "../scope/transfer.ts";
import { bitOf } from "../trace/bundle/kinds.ts";
import { target } from "../trace/bytes.ts";
import type { Hash, Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { quotePath } from "../world/paths.ts";
import { readTree } from "../world/tree.ts";
import { Exit, type ExitCode } from "./errors.ts";
import { linesOf, rowOf } from "./rows.ts";
import { anySecrets, checkSecrets, type SecretSearch, searchSecrets, secretWords, treesOf } from "./secrets.ts";
import type { Context, Flags } from "./verb.ts";
import { counted, named } from "./words.ts";

/** Bytes of a row that are the subject of a commit. */
const SUBJECT = 100;

export async function toRepository(
  context: Context,
  flags: Flags,
  run: ScopeRef,
  directory: string,
): Promise<ExitCode | undefined> {
  const { out, signal } = context;
  const dryRun = flags["dry-run"] === true;
  if (existsSync(directory) && !statSync(directory).isDirectory())
    throw new Exit(2, `${directory} is no directory: name a new one.`);
  const store = await context.store();
  const parts = await partsOf(store, run, { forks: !flags["no-forks"] });
  const search = searchSecrets(store);
  const trees = await treesOf(store, parts.scopes);
  await seeFiles(store, trees, search);
  // Conversations are in it as rows, which are masked.
  const secrets = { files: (await search.result(trees)).files, elsewhere: 0 };
  if (dryRun) {
    const branches = parts.scopes.map(({ name }) => name);
    out.object({ scope: run.name, directory, branches, secrets, dryRun });
    const word = existsSync(directory) && readdirSync(directory).length > 0 ? "add to" : "make";
    out.say(
      `Would ${word} ${directory}, with the ${branches.length === 1 ? "branch" : "branches"} ${named(branches)}.`,
    );
    if (anySecrets(secrets)) out.say(`  what looks like secrets would be in it: ${secretWords(secrets)}`);
    return undefined;
  }
  checkSecrets(run.name, secrets, flags);
  const progress = out.progress();
  const done = await exportToGit(store, directory, parts, {
    signal,
    rowOf: async (scope, step) => subjectOf(await rowOf(store, scope, step, false)),
    onProgress: (commits) => progress.at(`writing ${directory}: ${commits} commits`),
  }).finally(() => progress.done());
  const leftOut = done.leftOut.map((path) => quotePath(Buffer.from(path, "latin1")));
  const { commits, known, branches, unfinished, empty, vcs } = done;
  out.object({ scope: run.name, directory, branches, commits, known, unfinished, leftOut, empty, vcs, secrets });
  out.say(`${run.name}: ${counted(commits, known > 0 ? "new commit" : "commit")} in ${directory}: ${named(branches)}.`);
  if (unfinished > 0) out.say(`  ${counted(unfinished, "step")} without an end are not in it`);
  if (empty > 0) out.say(`  Git holds no empty directories: ${empty} at the newest step are not in it`);
  if (vcs) out.say("  what lies in directories named .git is not in it");
  if (leftOut.length > 0) out.say(`  Git refuses these names, which are left out: ${named(leftOut)}`);
  if (anySecrets(secrets)) out.say(`  what looks like secrets is in it: ${secretWords(secrets)}`);
  return undefined;
}

/** Shows all files of some states to a search, each once. */
async function seeFiles({ objects }: EmbeddedStore, trees: readonly Link[], search: SecretSearch): Promise<void> {
  const seen = new Set<Hash>();
  const look = async (id: Hash, kind: "tree" | "blob"): Promise<void> => {
    if (seen.has(id)) return;
    seen.add(id);
    const bytes = await objects.get(id).catch(() => null);
    if (!bytes) return;
    search.see(id, bitOf(kind), bytes);
    if (kind === "blob") return;
    for (const { type, id: below } of (await readTree(objects, id)).entries)
      if (type === "d" || type === "f") await look(below, type === "d" ? "tree" : "blob");
  };
  for (const tree of trees) await look(target(tree), "tree");
}

/** A row as the first lines of a commit's message. */
function subjectOf(row: Awaited<ReturnType<typeof rowOf>>): string {
  const { kind, summary, status, changes } = row;
  const line = `${kind} · ${summary}${status === "done" ? "" : ` (${status})`}`;
  const subject = line.length > SUBJECT ? `${line.slice(0, SUBJECT - 1).toWellFormed()}…` : line;
  const more = [
    ...(line.length > SUBJECT ? [line] : []),
    ...(changes && changes.files > 0 ? [`${counted(changes.files, "file")} ${linesOf(changes)}`] : []),
  ];
  return [subject, ...more].join("\n\n");
}
