/** Conversations: lists of content-addressed items, and which calls of theirs are open. */
import { decodeJson, encodeJson, link, target } from "../trace/bytes.ts";
import { itemNode } from "../trace/commit.ts";
import { Forgotten } from "../trace/objects.ts";
import { type Json, type Link, MAX_OBJECT, type Session } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { rebuild } from "./history.ts";

/**
 * A block of a message, in no provider's format. `extra` holds what a provider says about it beyond that. What only one provider knows
 * (thinking with its signature, images, server tools, a refusal) is kept as that provider wrote it.
 */
export type Block =
  | { type: "text"; text: string; extra?: Members }
  | { type: "call"; id: string; name: string; input: unknown; extra?: Members }
  | { type: "native"; api: string; value: Members };
type Members = { [name: string]: Json };
export type Call = Extract<Block, { type: "call" }>;

export type Item =
  | { role: "user"; content: Block[] }
  | { role: "assistant"; content: Block[] }
  /** Instructions that stand within a conversation. */
  | { role: "system" | "developer"; content: Block[] }
  | { role: "result"; call: string; status: string; content: Block[]; extra?: Members };

/** The conversation of a run itself. */
export const MAIN = "main";

/** Stores bytes of any size and gives the link by which a frame may name them. */
export async function putBytes(store: EmbeddedStore, bytes: Uint8Array): Promise<Link> {
  if (bytes.length <= MAX_OBJECT) return link("blob", await store.objects.put(bytes));
  const ids: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += MAX_OBJECT)
    ids.push(Buffer.from(await store.objects.put(bytes.subarray(at, at + MAX_OBJECT)), "hex"));
  const head = Buffer.alloc(8);
  head.writeBigUInt64BE(BigInt(bytes.length));
  return link("chunks", await store.objects.put(Buffer.concat([Buffer.from("shepherd chunks 1\n"), head, ...ids])));
}

/** The bytes that a blob or a chunk list stands for. Throws if they are missing or forgotten. */
export async function getBytes(store: EmbeddedStore, of: Link): Promise<Buffer> {
  const bytes = await store.objects.get(target(of));
  if (!bytes)
    throw new Error(`The object ${target(of).slice(0, 12)} is missing from the store: run \`shepherd fsck\`.`);
  if (!of.startsWith("chunks:")) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = "shepherd chunks 1\n".length + 8;
  const parts: Uint8Array[] = [];
  for (let at = start; at + 32 <= bytes.length; at += 32) {
    const part = await store.objects.get(Buffer.from(bytes.subarray(at, at + 32)).toString("hex"));
    if (!part) throw new Error(`A part of the object ${target(of).slice(0, 12)} is missing: run \`shepherd fsck\`.`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

export const putItem = (store: EmbeddedStore, item: Item): Promise<Link> => putBytes(store, encodeJson(item));

/** The text of a message, without its calls and what only one provider knows. */
export const textOf = ({ content }: Pick<Item, "content">, between = "\n"): string =>
  content.map((block) => (block.type === "text" ? block.text : "")).join(between);

/** What an agent adds to a message on its own, and marks as such. */
const ADDED = /<(system-reminder|environment_context|user_instructions)>.*?<\/\1>/gs;

/** The text of a message without what an agent has added to it. */
export const ownWords = (item: Pick<Item, "content">): string => textOf(item, " ").replaceAll(ADDED, "").trim();

export async function getItem(store: EmbeddedStore, of: Link): Promise<Item> {
  try {
    return decodeJson(await getBytes(store, of)) as unknown as Item;
  } catch (error) {
    if (!(error instanceof Forgotten)) throw error;
    return { role: "user", content: [{ type: "text", text: "[forgotten]" }] };
  }
}

/** A conversation's items, oldest first, each with the node that it is the last of. */
export async function itemNodes(
  store: EmbeddedStore,
  session: Session | undefined,
): Promise<Array<{ node: Link; item: Link }>> {
  const nodes: Array<{ node: Link; item: Link }> = [];
  let rebuilt = false;
  for (let at = session?.items ?? null; at; ) {
    const bytes = await store.derived.get(target(at));
    if (!bytes) {
      if (rebuilt)
        throw new Error(`The conversation ${target(at).slice(0, 12)} follows from no log here: run \`shepherd fsck\`.`);
      await rebuild(store);
      rebuilt = true;
      continue;
    }
    const { before, item } = decodeJson(bytes) as unknown as { before: Link | null; item: Link };
    nodes.push({ node: at, item });
    at = before;
  }
  return nodes.reverse();
}

/** The end of a conversation of items, oldest first; null of none. */
export async function putItems(store: EmbeddedStore, items: readonly Link[]): Promise<Link | null> {
  let end: Link | null = null;
  for (const item of items) {
    const node = itemNode(end, item);
    await store.derived.put(node.bytes);
    end = node.id;
  }
  return end;
}

export const itemLinks = async (store: EmbeddedStore, session: Session | undefined): Promise<Link[]> =>
  (await itemNodes(store, session)).map(({ item }) => item);

export async function itemsOf(store: EmbeddedStore, session: Session | undefined): Promise<Item[]> {
  return Promise.all((await itemLinks(store, session)).map((each) => getItem(store, each)));
}

/** As `itemsOf`, for conversations that came one from another: of what was read, a beginning is not read again. */
export function itemsReader(store: EmbeddedStore): (session: Session | undefined) => Promise<Item[]> {
  let items: Item[] = [];
  /** How many items there are up to a node. */
  const counts = new Map<Link, number>();
  return async (session) => {
    if (!session?.items) return [];
    if (!counts.has(session.items)) {
      const nodes = await itemNodes(store, session);
      items = await Promise.all(nodes.map(({ item }) => getItem(store, item)));
      counts.clear();
      for (const [at, { node }] of nodes.entries()) counts.set(node, at + 1);
    }
    return items.slice(0, counts.get(session.items));
  };
}

/** Calls of the last message that asks for any, without a result yet, in block order. */
export function openCalls(items: readonly Item[]): Call[] {
  const answered = new Set<string>();
  for (let at = items.length - 1; at >= 0; at--) {
    const item = items[at]!;
    if (item.role === "result") answered.add(item.call);
    else if (item.role === "assistant")
      return item.content.filter((block): block is Call => block.type === "call" && !answered.has(block.id));
    else return [];
  }
  return [];
}

/** The result that a call gets which is not performed. */
export const notRun = (call: string, why: string): Item => ({
  role: "result",
  call,
  status: "not-run",
  content: [{ type: "text", text: `not run: ${why}` }],
});
