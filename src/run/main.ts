/** main: the user's working directory, as the newest commit of its log. Looked at before anything builds on it. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Seeds } from "../scope/files.ts";
import { mainLog, workspaceOf } from "../scope/registry.ts";
import { record, treeLink } from "../scope/scope.ts";
import { readLog } from "../scope/view.ts";
import { link, target } from "../trace/bytes.ts";
import type { Carry, Hash } from "../trace/ports.ts";
import type { Head } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { openWriter, type Writer } from "../trace/writer.ts";
import { storeGeneration } from "../trace/writers.ts";
import { type Capture, capture } from "../world/capture.ts";
import type { Source } from "../world/materialise.ts";
import { outerGit } from "../world/outer-git.ts";
import type { StatCache } from "../world/statcache.ts";
import { keepCache, knownIn, loadCache } from "../world/statfile.ts";
import { STAGING_PREFIX } from "./landing/plan.ts";

export interface Workspace {
  path: string;
  id: string;
}

export interface Main {
  workspace: Workspace;
  log: string;
  head: Head & { id: Hash };
  tree: Hash;
  carry: Carry;
  capture: Capture;
  /** The directory, and its Git directory elsewhere, as sources of blocks for scopes that start from them. */
  sources: Seeds;
  /** The step that the look made, where the user had changed something. */
  external: number | null;
}

export interface LookOptions {
  signal?: AbortSignal;
  onProgress?: (text: string) => void;
}

/** What a capture carries besides the tree. */
const carryOf = (captured: Capture): Carry => ({
  mtimes: link("mtimes", captured.mtimes),
  ...(captured.vcs && { vcs: link("tree", captured.vcs) }),
  ...(captured.vcsMtimes && { vcsMtimes: link("mtimes", captured.vcsMtimes) }),
});

/** Runs `work` as the one writer of a log; waits while another process is. */
export async function withWriter<T>(
  store: EmbeddedStore,
  log: string,
  work: (writer: Writer) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const key = `log/${log}`;
  for (let wait = 2; ; wait = Math.min(wait * 1.5, 40)) {
    signal?.throwIfAborted();
    const epoch = await store.leases.acquire(key, (await store.logs.end(log)).epoch);
    if (epoch === null) {
      await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random())));
      continue;
    }
    try {
      return await work(await openWriter(store, log, epoch));
    } finally {
      await store.leases.release(key, epoch);
    }
  }
}

/** The files of a workspace as content, by its stat cache, which is brought up to date. */
export async function captureMain(
  store: EmbeddedStore,
  workspace: Workspace,
  options: LookOptions = {},
): Promise<Capture & { cache: StatCache }> {
  const file = `${store.cache("stat")}/${workspace.id}`;
  const cache = loadCache(file);
  const known = knownIn(cache);
  const captured = await capture(workspace.path, store.objects, {
    cache,
    generation: storeGeneration(store),
    exclude: leftAlone(store, workspace.path),
    ...(options.signal && { signal: options.signal }),
    ...(options.onProgress && {
      onProgress: (done: { files: number }) => options.onProgress!(`reading ${workspace.path}: ${done.files} files`),
    }),
  });
  keepCache(file, cache, known);
  return { ...captured, cache };
}

/** What is no part of a workspace's state. */
export const leftAlone = ({ directory }: Pick<EmbeddedStore, "directory">, path: string): Buffer[] => [
  Buffer.from(directory),
  ...staged(path),
];

/** What a landing keeps at the root while it lasts is no part of the state. */
const staged = (path: string): Buffer[] =>
  readdirSync(path)
    .filter((name) => name.startsWith(STAGING_PREFIX))
    .map((name) => Buffer.from(join(path, name)));

/** The Git directory of a workspace that lies outside of it, as content; null where there is none. */
async function captureOuterGit(
  store: EmbeddedStore,
  workspace: Workspace,
  options: LookOptions,
): Promise<{ tree: Hash; source: Source } | null> {
  const directory = outerGit(workspace.path)?.directory;
  if (directory === undefined) return null;
  const file = `${store.cache("stat")}/${workspace.id}.git`;
  const cache = loadCache(file);
  const known = knownIn(cache);
  const captured = await capture(directory, store.objects, {
    cache,
    generation: storeGeneration(store),
    ...(options.signal && { signal: options.signal }),
    ...(options.onProgress && {
      onProgress: (done: { files: number }) => options.onProgress!(`reading ${directory}: ${done.files} files`),
    }),
  });
  keepCache(file, cache, known);
  return { tree: captured.tree, source: { path: directory, cache } };
}

/** Captures the working directory; a difference to main's head is one step `external`, none is none. */
export async function lookAtMain(store: EmbeddedStore, directory: string, options: LookOptions = {}): Promise<Main> {
  const workspace = workspaceOf(directory);
  const log = await mainLog(store, workspace);
  const captured = await captureMain(store, workspace, options);
  const outer = await captureOuterGit(store, workspace, options);
  const carry: Carry = { ...carryOf(captured), ...(outer && { outerVcs: link("tree", outer.tree) }) };
  const done = (head: Head, external: number | null): Main => ({
    workspace,
    log,
    head: head as Main["head"],
    tree: captured.tree,
    carry,
    capture: captured,
    sources: { workspace: { path: workspace.path, cache: captured.cache }, ...(outer && { git: outer.source }) },
    external,
  });
  const { fold } = await readLog(store, log);
  if (sameTree(fold.head(), captured.tree)) return done(fold.head(), null);
  return withWriter(
    store,
    log,
    async (writer) => {
      if (sameTree(writer.fold.head(), captured.tree)) return done(writer.fold.head(), null);
      const outcome = { status: "done" as const, workspace: treeLink(captured.tree) };
      const { n } = await record({ writer }, { kind: "external", tier: "reversible" }, outcome, {
        carry,
      });
      await writer.sync();
      return done(writer.fold.head(), n);
    },
    options.signal,
  );
}

const sameTree = (head: Head, tree: Hash): boolean =>
  head.state !== null && target(head.state.roots.workspace) === tree;
