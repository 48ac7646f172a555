/** The files of a scope in memory: a map, captured and set back as real trees. */

import type { Files } from "../../../src/scope/files.ts";
import { link, target } from "../../../src/trace/bytes.ts";
import type { Carry, Link } from "../../../src/trace/ports.ts";
import type { EmbeddedStore } from "../../../src/trace/store.ts";
import { type Entry, readTree, writeTree } from "../../../src/world/tree.ts";
import type { Edit, Workspace } from "../types.ts";
import { workspace } from "../value.ts";
import { bytesOf, contentId, contentOf } from "./contents.ts";

export interface ShadowFiles extends Files {
  edit(edit: Edit): void;
  now(): Workspace;
}

export function shadowFiles(store: EmbeddedStore): ShadowFiles {
  let mode = 0o755;
  let entries = new Map<string, Entry>();
  let known: Link | null = null;
  const set = async (tree: Link): Promise<void> => {
    const read = await readTree(store.objects, target(tree));
    mode = read.mode;
    entries = new Map(read.entries.map((entry) => [entry.name.toString(), entry]));
    known = tree;
  };
  return {
    samePath: true,
    start: "/",
    path: "/",
    host: "/",
    config: null,
    services: [],
    leftRunning: async () => [],
    sandbox: () => Promise.reject(new Error("No command runs here.")),
    written: async () => false,
    background: async () => null,
    close: async () => {},
    capture: async () => {
      if (!known) {
        for (const { id } of entries.values()) await store.objects.put(bytesOf(contentOf(id)));
        known = link("tree", await writeTree(store.objects, { mode, entries: [...entries.values()] }));
      }
      const carry: Carry = {};
      return { workspace: known, carry };
    },
    isNear: async () => true,
    stand: async () => false,
    showsThrough: async () => false,
    bring: set,
    restore: set,
    edit: ([path, content]) => {
      known = null;
      if (content === null) entries.delete(path);
      else entries.set(path, { type: "f", mode: 0o644, name: Buffer.from(path), id: contentId(content) });
    },
    now: () => workspace([...entries].map(([path, { id }]) => [path, contentOf(id)])),
  };
}
