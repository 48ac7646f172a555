/**
 * What a request tells that the thread does not have yet: results of calls end their steps, a message in which somebody has injected
 * something is a step `inject`, all else is a step `message`.
 */
import type { LiveScope } from "../scope/scope.ts";
import type { Json, Link } from "../trace/ports.ts";
import type { Calls } from "./calls.ts";
import { putEdit } from "./request.ts";
import type { Around } from "./session.ts";
import { entryOf, type Sent, type Thread } from "./threads.ts";

/** So many links at most stand in a frame. */
const MOST = 4000;

/** Of which conversation something is heard. */
export interface Ear {
  scope: LiveScope;
  thread: Thread;
  /** The step that its requests run in. */
  inside?: number | undefined;
  calls: Calls | undefined;
  /** What stands beside the step of a message that somebody has injected; null for all others. */
  injected?: Around["injected"];
}

export async function hear(ear: Ear, sent: readonly Sent[]): Promise<void> {
  const { scope, thread, inside, calls } = ear;
  const { writer, store } = scope;
  for (const [at, entry] of thread.entries.entries()) {
    const { link } = sent[at]!;
    if (link === (entry.sent ?? entry.link)) continue;
    thread.edits = await putEdit(store, thread.edits, at, link);
    entry.sent = link;
  }
  const fresh = sent.slice(thread.entries.length);
  const answered = new Set(fresh.flatMap(({ item }) => (item.role === "result" ? [item.call] : [])));
  for (const [call, n] of thread.open) if (!answered.has(call)) await endCall(ear, call, n, "not-run");

  const write = async (
    kind: "message" | "inject",
    append: Link[],
    witness?: { [key: string]: Json },
  ): Promise<void> => {
    const facts = { kind, tier: "reversible" as const, thread: thread.name, what: append.at(-1)! };
    const links = inside === undefined ? {} : { links: { inside } };
    const n = await writer.intent(facts, { ...links, ...(witness && { witness }) });
    const threads = { [thread.name]: { append } };
    await writer.outcome(n, { status: "done", threads }, { witness: { at: Date.now() } });
  };
  let said: Sent[] = [];
  const flush = async (): Promise<void> => {
    for (const part of parts(said, MOST))
      await write(
        "message",
        part.map(({ link }) => link),
      );
    said = [];
  };
  for (const each of fresh) {
    const { item, link } = each;
    const n = item.role === "result" ? thread.open.get(item.call) : undefined;
    const by = item.role === "result" ? null : (ear.injected?.(item, inside) ?? null);
    if (by) {
      await flush();
      await write("inject", [link], by);
    } else if (n === undefined || item.role !== "result") said.push(each);
    else {
      await flush();
      thread.open.delete(item.call);
      const status = item.status === "failed" ? "failed" : "done";
      if (calls) await calls.told(n, status, [link], item);
      else {
        const ms = Date.now() - (writer.fold.steps.get(n)?.at ?? Date.now());
        const threads = { [thread.name]: { append: [link] } };
        await writer.outcome(n, { status, threads }, { witness: { at: Date.now(), ms } });
      }
    }
    thread.entries.push(entryOf(link, item));
  }
  await flush();
}

/** Ends the step of a call of which no result came. */
export async function endCall(
  { scope, thread, calls }: Ear,
  call: string,
  n: number,
  status: "not-run" | "aborted",
): Promise<void> {
  thread.open.delete(call);
  if (calls) return calls.told(n, status, []);
  await scope.writer.outcome(n, { status }, { witness: { at: Date.now() } });
}

function* parts<T>(list: readonly T[], size: number): Generator<T[]> {
  for (let at = 0; at < list.length; at += size) yield list.slice(at, at + size);
}
