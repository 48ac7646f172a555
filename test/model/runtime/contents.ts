/** The model's contents, items and outputs as bytes: so that equal values of the model are equal objects, and the other way round. */
import { readdirSync, readFileSync } from "node:fs";
import { encodeJson, link, sha256 } from "../../../src/trace/bytes.ts";
import { itemNode } from "../../../src/trace/commit.ts";
import type { Hash, Link, State as RealState, Session } from "../../../src/trace/ports.ts";
import type { EmbeddedStore } from "../../../src/trace/store.ts";
import { readTree } from "../../../src/world/tree.ts";
import type { Block, Item, Output, State, Threads, Workspace } from "../types.ts";
import { workspace } from "../value.ts";

/** A file of one line: what both sides changed, line by line, is then what both changed, path by path. */
export const bytesOf = (content: number): Buffer => Buffer.from(`${content}\n`);
const idOf = (content: number): Hash => sha256(bytesOf(content));
export const contentId = (content: number): Hash => idOf(content);
const contents = new Map(Array.from({ length: 100 }, (_, content) => [idOf(content), content]));

/** The content that a file's id stands for; -1 for what the model knows nothing of. */
export const contentOf = (id: Hash): number => contents.get(id) ?? -1;

/** The files that a tree stands for. */
export async function treeOf(store: EmbeddedStore, tree: Hash): Promise<Workspace> {
  const { entries } = await readTree(store.objects, tree);
  return workspace(entries.map(({ name, type, id }) => [name.toString(), type === "f" ? contentOf(id) : -1]));
}

/** The files of a directory; what a landing left behind is there as -1. */
export const directoryOf = (path: string): Workspace =>
  workspace(readdirSync(path).map((name) => [name, contentOf(sha256(readFileSync(`${path}/${name}`)))]));

// ---- conversations ------------------------------------------------------------------------------------------------------

const text = (value: unknown) => ({ type: "text", text: JSON.stringify(value) });
export const callId = (of: number): string => `c${of}`;

export function blockOf({ text: said, call }: Block, of: number): unknown {
  return call ? { type: "call", id: callId(of), name: call.tool, input: { ...call } } : text(said ?? null);
}
/** The blocks of a message; calls are counted among themselves. */
export function blocksOf(blocks: readonly Block[]): unknown[] {
  let calls = 0;
  return blocks.map((block) => blockOf(block, block.call ? calls++ : 0));
}
export function itemOf(item: Item): unknown {
  if (item.role === "user") return { role: "user", content: [text(item.text)] };
  if (item.role === "assistant") return { role: "assistant", content: blocksOf(item.blocks) };
  return { role: "result", call: callId(item.of), status: item.status, content: [text(item.output)] };
}
export const outputOf = (output: Output | undefined): Buffer => encodeJson(output ?? null);

const sessions = new WeakMap<readonly Item[], Link>();
/** The list node that a conversation ends with. */
function nodeOf(items: readonly Item[]): Link | null {
  if (items.length === 0) return null;
  const known = sessions.get(items);
  if (known) return known;
  let at: Link | null = null;
  for (const item of items) at = itemNode(at, link("blob", sha256(encodeJson(itemOf(item))))).id;
  sessions.set(items, at as Link);
  return at;
}

/** What differs between conversations of the model and of the runtime. */
export function threadsDiffer(threads: Threads, real: RealState["threads"]): string | undefined {
  for (const name of new Set([...Object.keys(threads), ...Object.keys(real)])) {
    const session: Session | undefined = Object.hasOwn(real, name) ? real[name] : undefined;
    const items = Object.hasOwn(threads, name) ? threads[name] : undefined;
    if (nodeOf(items ?? []) !== (session?.items ?? null)) return name;
  }
  return undefined;
}

export type Described = Pick<State, "workspace">;
