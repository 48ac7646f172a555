/**
 * Room for more: a conversation that comes near to what its model can read is summed up by that model, and goes on from the summary, as a step
 * `compact`. The summary is asked for in a thread of its own that begins with the whole conversation, so that the provider reads it from its cache, and so
 * that a run that was killed meanwhile finds it.
 */
import { type LiveScope, record } from "../scope/scope.ts";
import { getItem, type Item, itemLinks, putItem, textOf } from "../scope/thread.ts";
import type { Link } from "../trace/ports.ts";
import type { Fold } from "../trace/seal.ts";
import type { ModelEvent, ModelPort } from "./model.ts";
import { lastTurnOver } from "./steps.ts";

/** Of what the model can read, so much is filled. The rest is for the answer, and for what a turn brings. */
const FULL = 0.8;
/** What is not counted yet, in characters a token. */
const CHARACTERS = 4;
/** So many links at most stand in a frame. */
const MOST = 4000;
const NAME = /^summary-(\d+)$/;

export const isSummary = (thread: string): boolean => NAME.test(thread);

const ASK =
  "There is no room for much more in this conversation. Sum it up for yourself: it goes on from your summary and the task alone. Say what the task is and what was said about it since, what you have found out, what you have done (files, commands, and how they ended), what is still to be done, and what you would do next. Answer with text alone, and call no tool.";
const BEFORE = "What was said and done so far was summed up, to make room:\n\n";

const ask = (): Item => ({ role: "user", content: [{ type: "text", text: ASK }] });

/** Whether a conversation fills its model: by the count of its last answer, and the length of what came behind that. */
export function isFull(fold: Fold, thread: string, items: readonly Item[], context: number | undefined): boolean {
  if (context === undefined) return false;
  const since = lastTurnOver(fold);
  const last = fold.sealed.findLast(
    ({ intent, outcome, outcomeSeq }) =>
      intent.kind === "model" && intent.thread === thread && outcome?.usage && outcomeSeq > since,
  );
  if (!last) return false;
  const { input = 0, output = 0, cacheRead = 0, cacheWrite = 0 } = last.outcome!.usage as { [kind: string]: number };
  const later = items.slice(items.findLastIndex(({ role }) => role === "assistant") + 1);
  const more = later.reduce((sum, item) => sum + textOf(item).length, 0) / CHARACTERS;
  return input + output + cacheRead + cacheWrite + more > FULL * context;
}

/** The thread in which the conversation is summed up: one that was begun already, or a new one. Written at return. */
export async function summaryThread(scope: LiveScope, thread: string): Promise<string> {
  const { store } = scope;
  const { threads } = scope.head().state!;
  const links = await itemLinks(store, threads[thread]);
  const asked = await putItem(store, ask());
  const numbers = Object.keys(threads).map((each) => Number(NAME.exec(each)?.[1] ?? 0));
  const newest = `summary-${Math.max(...numbers)}`;
  const begun = await itemLinks(store, threads[newest]);
  if (begun.length > links.length && [...links, asked].every((each, at) => begun[at] === each)) return newest;
  const name = `summary-${Math.max(...numbers) + 1}`;
  const all = [...links, asked];
  for (let at = 0; at < all.length; at += MOST) {
    const append = all.slice(at, at + MOST);
    const facts = { kind: "message" as const, tier: "reversible" as const, thread: name, what: append.at(-1)! };
    await record(scope, facts, { status: "done", threads: { [name]: { append } } });
  }
  return name;
}

/** The summary in its thread; null where it is still to be asked for. */
export async function summaryIn(scope: LiveScope, name: string): Promise<string | null> {
  const last = (await itemLinks(scope.store, scope.head().state?.threads[name])).at(-1);
  const item = last && (await getItem(scope.store, last));
  return item?.role === "assistant" ? textOf(item).trim() : null;
}

/** Puts the task and the summary in the place of a conversation, as a step. Written at return. */
export async function putSummary(scope: LiveScope, thread: string, summary: string): Promise<void> {
  const { writer, lock, store } = scope;
  const task = (await itemLinks(store, scope.head().state!.threads[thread]))[0]!;
  const said = await putItem(store, { role: "user", content: [{ type: "text", text: BEFORE + summary }] });
  const n = await writer.intent({ kind: "compact", tier: "reversible", thread, what: said });
  // It sets the whole state, so nothing else may change that meanwhile.
  const ticket = lock.request("exclusive");
  try {
    await ticket.held;
    const state = scope.head().state!;
    const shell = state.threads[thread]?.shell ?? null;
    const threads = { ...state.threads, [thread]: { items: null, shell } };
    const append: Link[] = [task, said];
    const outcome = { status: "done" as const, state: { ...state, threads }, threads: { [thread]: { append } } };
    await writer.outcome(n, outcome, { witness: { at: Date.now() } });
  } finally {
    ticket.release();
  }
}

/** A port whose answers have no calls: nobody would perform them. */
export const withoutCalls = (port: ModelPort): ModelPort => ({
  ...port,
  call: async function* (request, signal): AsyncGenerator<ModelEvent> {
    for await (const event of port.call(request, signal))
      if (event.type !== "block" || event.block.type !== "call") yield event;
  },
});
