/** The user's directory as it is now, where the store takes no writes: what that lacks is kept in memory, for as long as somebody looks. */
import { mainLog, workspaceOf } from "../scope/registry.ts";
import { readLog } from "../scope/view.ts";
import { sha256 } from "../trace/bytes.ts";
import type { Hash } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { storeGeneration } from "../trace/writers.ts";
import { capture } from "../world/capture.ts";
import { loadCache } from "../world/statfile.ts";
import { type LookOptions, leftAlone } from "./main.ts";

/** So much of what is not in the store is kept at most, in bytes. */
const MOST = 512 << 20;

/** A look that writes nothing down. */
export interface Peek {
  /** The store with what was found. */
  store: EmbeddedStore;
  /** Main's newest commit, which is behind `tree` where the user has changed something since. */
  head: { id: Hash };
  tree: Hash;
}

/** Throws `why` where that would take too much memory, and where main has no commit yet. */
export async function peekAtMain(
  { objects, ...rest }: EmbeddedStore,
  directory: string,
  why: unknown,
  options: LookOptions = {},
): Promise<Peek> {
  const held = new Map<Hash, Uint8Array>();
  let size = 0;
  const store: EmbeddedStore = {
    ...rest,
    objects: {
      ...objects,
      put: async (bytes) => {
        const id = sha256(bytes);
        if (held.has(id) || (await objects.has([id]))[0]) return id;
        size += bytes.length;
        if (size > MOST) throw why;
        held.set(id, Uint8Array.from(bytes));
        return id;
      },
      get: async (id) => held.get(id) ?? (await objects.get(id)),
      has: async (ids) => {
        const there = await objects.has(ids);
        return ids.map((id, at) => held.has(id) || there[at]!);
      },
    },
  };
  const workspace = workspaceOf(directory);
  const { id } = (await readLog(store, await mainLog(store, workspace))).fold.head();
  if (id === null) throw why;
  const { tree } = await capture(workspace.path, store.objects, {
    // It is not kept: it would say of what is in memory that it is in the store.
    cache: loadCache(`${store.directory}/cache/stat/${workspace.id}`),
    generation: storeGeneration(store),
    exclude: leftAlone(store, workspace.path),
    ...(options.signal && { signal: options.signal }),
    ...(options.onProgress && {
      onProgress: ({ files }: { files: number }) => options.onProgress!(`reading ${workspace.path}: ${files} files`),
    }),
  });
  return { store, head: { id }, tree };
}
