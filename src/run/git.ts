/**
 * What an agent has committed, as a branch of the user's repository. Nothing but its objects and the name of its newest commit is taken from the
 * scope's Git directory: its configuration and hooks, which the agent may have written, are never read by a git that runs on the host.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { workspacePath } from "../scope/registry.ts";
import { getBytes } from "../scope/thread.ts";
import { readScope } from "../scope/view.ts";
import { link, target } from "../trace/bytes.ts";
import type { Hash } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { lookup } from "../world/lookup.ts";
import { materialise } from "../world/materialise.ts";
import { outerGit } from "../world/outer-git.ts";

export interface Fetched {
  branch: string;
  commit: string;
}

/** Thrown where a run has no commits to bring, or the user's repository does not take them; the message is a sentence. */
export class GitError extends Error {}

const ID = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** Brings the commits of a run's newest step into the repository of its directory, as the branch `shepherd/NAME`. Changes no file and no other ref. */
export async function fetchCommits(store: EmbeddedStore, name: string): Promise<Fetched> {
  const view = await readScope(store, name);
  const directory = await workspacePath(store, view.log);
  const { carry } = view.fold.head();
  const outer = carry.outerVcs ? outerGit(directory) : null;
  const inner = carry.vcs ? await lookup(store.objects, target(carry.vcs), Buffer.from(".git")) : null;
  const tree = outer ? target(carry.outerVcs!) : inner?.type === "d" ? inner.id : null;
  if (tree === null) throw new GitError(`${name} has no Git repository at its root, so it has no commits to bring.`);
  const repository: Repository = { store, tree, own: outer?.own ?? "" };
  const commit = await headOf(repository);
  if (commit === null) throw new GitError(`${name} has no commit yet: its files come by \`shepherd merge ${name}\`.`);

  const branch = `shepherd/${name}`;
  const place = mkdtempSync(join(store.cache("work"), ".git-"));
  try {
    await makeBare(repository, place, commit);
    await git(directory, [
      "fetch",
      "--quiet",
      "--no-tags",
      "--no-write-fetch-head",
      place,
      `refs/heads/run:refs/heads/${branch}`,
    ]);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
  return { branch, commit };
}

interface Repository {
  store: EmbeddedStore;
  /** Tree of the Git directory. */
  tree: Hash;
  /** Where in it the part of the worktree lies. */
  own: string;
}

/** A repository of our own with the objects of another, and one branch. */
async function makeBare({ store, tree }: Repository, place: string, commit: string): Promise<void> {
  const objects = await lookup(store.objects, tree, Buffer.from("objects"));
  if (objects?.type !== "d") throw new GitError("The run's Git directory has no objects.");
  await materialise(join(place, "objects"), { tree: objects.id }, store.objects);
  // It may name any directory.
  rmSync(join(place, "objects/info/alternates"), { force: true });
  mkdirSync(join(place, "refs/heads"), { recursive: true });
  writeFileSync(join(place, "HEAD"), "ref: refs/heads/run\n");
  writeFileSync(join(place, "refs/heads/run"), `${commit}\n`);
  const format = commit.length === 64 ? "1\n[extensions]\n\tobjectFormat = sha256" : "0";
  writeFileSync(join(place, "config"), `[core]\n\tbare = true\n\trepositoryFormatVersion = ${format}\n`);
}

/** The commit that HEAD stands for; null before the first. */
async function headOf(repository: Repository): Promise<string | null> {
  const { own } = repository;
  const head = await textOf(repository, own === "" ? "HEAD" : `${own}/HEAD`);
  if (head === null || ID.test(head)) return head;
  const name = /^ref: (refs\/.+)$/.exec(head)?.[1];
  if (name === undefined) throw new GitError("The run's Git directory has a HEAD that is not understood.");
  const loose = await textOf(repository, name);
  if (loose !== null) return ID.test(loose) ? loose : null;
  for (const line of ((await textOf(repository, "packed-refs")) ?? "").split("\n")) {
    const [id, packed] = line.split(" ");
    if (packed === name && ID.test(id!)) return id!;
  }
  return null;
}

async function textOf({ store, tree }: Repository, path: string): Promise<string | null> {
  const entry = await lookup(store.objects, tree, Buffer.from(path));
  if (entry?.type !== "f" && entry?.type !== "F") return null;
  return (await getBytes(store, link(entry.type === "F" ? "chunks" : "blob", entry.id))).toString().trimEnd();
}

async function git(directory: string, args: string[]): Promise<void> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("GIT_")));
  try {
    await promisify(execFile)("git", args, { cwd: directory, env });
  } catch (error) {
    const said = String((error as { stderr?: string }).stderr ?? "")
      .trim()
      .split("\n")
      .at(-1);
    throw new GitError(`Your repository did not take the commits: ${said || (error as Error).message}.`);
  }
}
