/** Conversations that began behind a handoff, for agents that keep a record of their own. */
import { getItem, textOf } from "../scope/thread.ts";
import { allSteps, type Found, type View } from "../scope/view.ts";
import type { EmbeddedStore } from "../trace/store.ts";

const isHandoff = ({ step }: Found): boolean => step.intent.kind === "handoff" && step.outcome?.status === "done";

/** What a state came through since its conversation began, newest first: the handoff that it began with is the last of it. */
export function sinceHandoff(came: readonly Found[]): readonly Found[] {
  const at = came.findIndex(isHandoff);
  return at < 0 ? came : came.slice(0, at + 1);
}

const wordsOf = async (store: EmbeddedStore, { step }: Found): Promise<string> =>
  textOf(await getItem(store, step.intent.what!));

/** What the conversation of a state began with; null where that is the task of its run. */
export async function handedWords(store: EmbeddedStore, came: readonly Found[]): Promise<string | null> {
  const handoff = came.find(isHandoff);
  return handoff ? wordsOf(store, handoff) : null;
}

/**
 * Whether a record can be that of the conversation which a state has: one that began with the words of its handoff, and of no other. All of them have
 * the same name, so it is only by what was said first that they are told apart.
 */
export async function belonging(
  store: EmbeddedStore,
  view: View,
  came: readonly Found[],
): Promise<(record: Buffer) => boolean> {
  const all = (await allSteps(store, view)).filter(isHandoff);
  if (all.length === 0) return () => true;
  const own = came.find(isHandoff);
  const inRecord = async (of: Found): Promise<Buffer> =>
    Buffer.from(JSON.stringify(await wordsOf(store, of)).slice(1, -1));
  const mine = own ? await inRecord(own) : null;
  const others: Buffer[] = [];
  for (const each of all) {
    const words = await inRecord(each);
    if (!mine?.equals(words)) others.push(words);
  }
  return (record) =>
    (mine === null || record.includes(mine)) && !others.some((each) => !mine?.includes(each) && record.includes(each));
}
