/** The tree that a directory has come to by the changes of a landing that were made, whatever else has changed in it meanwhile. */
import type { Hash, Objects } from "../../trace/ports.ts";
import { type Entry, readTree, writeTree } from "../../world/tree.ts";
import type { Change, Side } from "./plan.ts";

interface Node {
  mode: number;
  entries: Map<string, Entry | Node>;
}

/** `tree` with `changes` made in it, in their order. Written, not synced. */
export async function changedTree(objects: Objects, tree: Hash, changes: readonly Change[]): Promise<Hash> {
  const root = await open(objects, tree);
  for (const { path, next } of changes) {
    const names = path.length === 0 ? [] : path.toString("latin1").split("/");
    const name = names.pop();
    let at = root;
    for (const each of names) at = await enter(objects, at, each);
    if (name === undefined) root.mode = next?.mode ?? root.mode;
    else if (next?.type === "d") (await enter(objects, at, name)).mode = next.mode;
    else if (next) at.entries.set(name, entryOf(name, next));
    else at.entries.delete(name);
  }
  return write(objects, root);
}

async function open(objects: Objects, id: Hash): Promise<Node> {
  const { mode, entries } = await readTree(objects, id);
  return { mode, entries: new Map(entries.map((entry) => [entry.name.toString("latin1"), entry])) };
}

/** The directory of a name, to be changed; a new one where there is none. */
async function enter(objects: Objects, above: Node, name: string): Promise<Node> {
  const there = above.entries.get(name);
  if (there && "entries" in there) return there;
  const node = there?.type === "d" ? await open(objects, there.id) : { mode: 0o755, entries: new Map() };
  above.entries.set(name, node);
  return node;
}

const entryOf = (name: string, { type, mode, id }: Side): Entry => ({
  type,
  mode,
  name: Buffer.from(name, "latin1"),
  id: id!,
});

async function write(objects: Objects, { mode, entries }: Node): Promise<Hash> {
  const list: Entry[] = [];
  for (const [name, entry] of entries) {
    if (!("entries" in entry)) list.push(entry);
    else list.push({ type: "d", mode: 0, name: Buffer.from(name, "latin1"), id: await write(objects, entry) });
  }
  return writeTree(objects, { mode, entries: list });
}
