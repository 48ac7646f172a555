/** Tags: names of steps, per workspace. A tag is a ref to a log and a step in it, so what it names is kept. */
import type { Hash } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { listScopes, NameError } from "./registry.ts";

export interface Tag {
  name: string;
  /** Log of the scope that the step was named in, and the step's number there. */
  log: string;
  n: number;
  /** The log that the step itself stands in: that one, or one that the scope came from. */
  stands: string;
  commit: Hash;
  /** ms since the epoch. */
  created: number;
  version: number;
}

/** By this name steps are known at which the check passed, so no tag has it. */
export const GREEN = "green";

const NAME = /^[a-z][a-z0-9_-]{0,47}$/;
/** What could be a commit. */
const HEX = /^[0-9a-f]{4,}$/;

export const isTagName = (word: string): boolean => NAME.test(word) && !HEX.test(word) && word !== GREEN;

/** Throws `NameError` for what is no name of a tag. */
export function checkTagName(name: string): void {
  if (isTagName(name)) return;
  throw new NameError(
    name === GREEN
      ? "green is the newest step at which the check passed: `shepherd tag --check COMMAND` says what that is."
      : `${JSON.stringify(name)} is no name for a tag: use lower-case letters, digits, - and _, at most 48, a letter first, and no word that could be a commit.`,
  );
}

const refOf = (workspace: string, name: string): string => `tag/${workspace}/${name}`;

const parse = (name: string, ref: { value: string; version: number }): Tag => ({
  ...(JSON.parse(ref.value) as Omit<Tag, "name" | "version">),
  name,
  version: ref.version,
});

export async function findTag(store: EmbeddedStore, workspace: string, name: string): Promise<Tag | null> {
  const ref = await store.refs.get(refOf(workspace, name));
  return ref ? parse(name, ref) : null;
}

/** In the order of their names. */
export async function listTags(store: EmbeddedStore, workspace: string): Promise<Tag[]> {
  const prefix = refOf(workspace, "");
  return (await store.refs.list(prefix)).map((ref) => parse(ref.name.slice(prefix.length), ref));
}

/** Names a step; `over` is the tag that it replaces. Synced at return; false if somebody else was quicker. */
export async function setTag(
  store: EmbeddedStore,
  workspace: string,
  tag: Pick<Tag, "name" | "log" | "n" | "stands" | "commit">,
  over: Tag | null,
): Promise<boolean> {
  checkTagName(tag.name);
  const { log, n, stands, commit } = tag;
  // What a name leads to must not be lost before it.
  await store.logs.sync(log);
  const value = JSON.stringify({ log, n, stands, commit, created: Date.now() });
  return store.refs.cas(refOf(workspace, tag.name), over?.version ?? 0, value);
}

/** Synced at return; false if somebody else has changed it. */
export const removeTag = (store: EmbeddedStore, workspace: string, { name, version }: Tag): Promise<boolean> =>
  store.refs.cas(refOf(workspace, name), version, null);

/** The scope that a tag's step was named in; throws `NameError` where its name is gone. */
export async function scopeOfTag(store: EmbeddedStore, tag: Tag): Promise<string> {
  const scope = (await listScopes(store)).find(({ log }) => log === tag.log);
  if (!scope)
    throw new NameError(`The run of the tag ${tag.name} is gone: \`shepherd tag --delete ${tag.name}\` removes it.`);
  return scope.name;
}

/** Logs that a tag leads to: retention leaves their names. */
export async function taggedLogs(store: EmbeddedStore): Promise<Set<string>> {
  const refs = await store.refs.list("tag/");
  return new Set(refs.map(({ value }) => (JSON.parse(value) as { log: string }).log));
}
