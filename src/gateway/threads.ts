/**
 * To which conversation of the scope a request belongs. A request tells the whole conversation again, so it continues the thread whose
 * messages it begins with.
 */

import type { LiveScope } from "../scope/scope.ts";
import { type Item, itemLinks, itemsOf, MAIN, putItem, textOf } from "../scope/thread.ts";
import { encodeJson, link, sha256 } from "../trace/bytes.ts";
import type { Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Asked } from "./request.ts";
import { readEdits, readRequest } from "./request.ts";
import type { Turn } from "./turn.ts";

/** A message of a thread. */
export interface Entry {
  link: Link;
  /** Where a client may tell it otherwise, what must stay for it to be the same message; null where all must. */
  key: string | null;
  assistant: boolean;
  /** How many blocks it has. */
  size: number;
  /** As the client told it last, where that is otherwise. */
  sent: Link | null;
}

export interface Thread {
  name: string;
  entries: Entry[];
  /** Newest of the messages that the client tells otherwise. */
  edits: Link | null;
  /** What the last request said besides the conversation. */
  asked: Asked | null;
  /** The model call that is under way, or may be attempted again. */
  turn: Turn | null;
  /** Numbers of the steps of calls without a result, by the ids of the calls, in order. */
  open: Map<string, number>;
}

/** A message of a request. */
export interface Sent {
  item: Item;
  link: Link;
  key: string | null;
}

/**
 * Clients tell a message of the model in words of their own: without its thinking, with other ids and marks, with a result that they have
 * shortened. Calls have ids that occur once; of a message without calls the text must be the same.
 */
export function keyOf(item: Item): string | null {
  if (item.role === "result") return `result ${item.call}`;
  if (item.role !== "assistant") return null;
  const calls = item.content.flatMap((block) => (block.type === "call" ? [block.id] : []));
  if (calls.length > 0) return `calls ${calls.join(" ")}`;
  return `says ${textOf(item, "").trim()}`;
}

export const entryOf = (link: Link, item: Item): Entry => ({
  link,
  key: keyOf(item),
  assistant: item.role === "assistant",
  size: item.content.length,
  sent: null,
});

export const newThread = (name: string): Thread => ({
  name,
  entries: [],
  edits: null,
  asked: null,
  turn: null,
  open: new Map(),
});

/** Whether a message of a request is that of a thread. */
export const same = (entry: Entry, sent: Sent): boolean =>
  sent.link === entry.link || sent.link === entry.sent || (entry.key !== null && entry.key === sent.key);

const sameAsked = (a: Asked | null, b: Asked): boolean => a !== null && a.system === b.system && a.tools === b.tools;

/**
 * The thread that a request continues: of those whose messages it begins with, the longest. An answer of the thread among them says that it
 * is the same conversation. Without one, two that only begin alike (a task, and the request for its title) are told apart by instructions and tools.
 */
export async function continued(
  store: EmbeddedStore,
  threads: Iterable<Thread>,
  sent: readonly Sent[],
  asked: Asked,
): Promise<{ thread: Thread; sent: readonly Sent[] } | null> {
  let best: { thread: Thread; sent: readonly Sent[] } | null = null;
  for (const thread of threads) {
    const { entries } = thread;
    if (entries.length === 0 || entries.length <= (best?.thread.entries.length ?? 0)) continue;
    const told = await parted(store, entries, sent);
    if (entries.length > told.length || !entries.every((entry, at) => same(entry, told[at]!))) continue;
    if (entries.some(({ assistant }) => assistant) || sameAsked(thread.asked, asked)) best = { thread, sent: told };
  }
  return best;
}

/** Stores a message of a request. `known`: what frames name already, so that a long conversation is not stored again with each call. */
export async function putSent(store: EmbeddedStore, item: Item, known?: ReadonlySet<Link>): Promise<Sent> {
  const named = known && link("blob", sha256(encodeJson(item)));
  return { item, link: named && known.has(named) ? named : await putItem(store, item), key: keyOf(item) };
}

/** Messages that frames of these threads name. */
export function knownIn(threads: Iterable<Thread>): Set<Link> {
  const known = new Set<Link>();
  for (const { entries } of threads)
    for (const { link, sent } of entries) {
      known.add(link);
      if (sent) known.add(sent);
    }
  return known;
}

/**
 * The messages of a request as a thread has them. What the assistant says in a row is one message of a request; a thread has several where
 * an answer was cut, told by the client as far as it came, and gone on with.
 */
async function parted(
  store: EmbeddedStore,
  entries: readonly Entry[],
  sent: readonly Sent[],
): Promise<readonly Sent[]> {
  if (!entries.some(({ assistant }, at) => assistant && entries[at + 1]?.assistant)) return sent;
  const told = [...sent];
  for (const [at, entry] of entries.entries()) {
    const item = told[at]?.item;
    if (!entry.assistant || !entries[at + 1]?.assistant || item?.role !== "assistant") continue;
    const [first, rest] = [item.content.slice(0, entry.size), item.content.slice(entry.size)];
    if (rest.length === 0) continue;
    const parts = [first, rest].map((content): Item => ({ role: "assistant", content }));
    told.splice(at, 1, ...(await Promise.all(parts.map((part) => putSent(store, part)))));
  }
  return told;
}

/** The threads of a scope as it stands. */
export async function loadThreads(scope: LiveScope): Promise<Map<string, Thread>> {
  const threads = new Map<string, Thread>();
  const { store, writer } = scope;
  for (const [name, session] of Object.entries(scope.head().state?.threads ?? {})) {
    const thread = newThread(name);
    const items = await itemsOf(store, session);
    thread.entries = (await itemLinks(store, session)).map((link, at) => entryOf(link, items[at]!));
    const last = writer.fold.sealed.findLast(({ intent }) => intent.kind === "model" && intent.thread === name);
    if (last?.intent.what) {
      const { system, tools, edits } = await readRequest(store, last.intent.what);
      thread.asked = { system, tools };
      thread.edits = edits ?? null;
      for (const [at, link] of await readEdits(store, edits)) if (thread.entries[at]) thread.entries[at].sent = link;
    }
    threads.set(name, thread);
  }
  return threads;
}

/** A name that no thread has: the first is that of the program itself. */
export function freeThread(threads: ReadonlyMap<string, Thread>): string {
  if (!threads.has(MAIN)) return MAIN;
  for (let k = 2; ; k++) if (!threads.has(`thread-${k}`)) return `thread-${k}`;
}
