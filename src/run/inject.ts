/**
 * What people say to a run while its agent is at work. It is written down at once, as a note, and told as a step `inject` before the next
 * request; so nothing is lost where whoever drives the run ends before, and it is told when somebody goes on.
 */
import type { LiveScope } from "../scope/scope.ts";
import { getItem, putItem, textOf } from "../scope/thread.ts";
import type { Json, Link } from "../trace/ports.ts";
import type { Fold, Step } from "../trace/seal.ts";

export interface Injected {
  id: string;
  /** The message. */
  item: Link;
  /** Who said it, by which right, and why. */
  witness: { [key: string]: Json };
}

/** A message, and what stands beside the step that tells it. */
export interface Said {
  text: string;
  witness?: { [key: string]: Json };
}

const NOTE = "inject ";

/** Writes down what is to be told. Doing it twice with one id is doing it once. Synced at return. */
export async function inject(
  scope: LiveScope,
  { id, text, witness }: { id: string; text: string; witness: Injected["witness"] },
): Promise<void> {
  if (!/^[\w-]{1,64}$/.test(id)) throw new Error("What is injected needs an id.");
  if (text.trim() === "") throw new Error("There is nothing to tell.");
  const { writer, store } = scope;
  const item = await putItem(store, { role: "user", content: [{ type: "text", text: text.toWellFormed() }] });
  if (!writer.fold.notes.has(NOTE + id)) await writer.note(null, { note: NOTE + id, item }, { witness });
  await writer.sync();
}

/** The ids of what a step has told. */
const toldBy = ({ intent, outcome, witness }: Step): string[] =>
  intent.kind === "inject" && outcome?.status === "done" && Array.isArray(witness.inject)
    ? (witness.inject as string[])
    : [];

function notesIn(fold: Fold): Injected[] {
  return [...fold.notes.values()]
    .filter(({ facts }) => facts.note.startsWith(NOTE))
    .sort((a, b) => a.seq - b.seq)
    .map(({ facts, witness }) => ({
      id: facts.note.slice(NOTE.length),
      item: facts.item as Link,
      witness: saidOf(witness ?? {}),
    }));
}

const saidOf = ({ by, right, why }: Injected["witness"]): Injected["witness"] => ({
  by: typeof by === "string" ? by : "somebody",
  ...(right !== undefined && { right }),
  ...(why !== undefined && { why }),
});

export interface Inbox {
  /** What is not told yet, oldest first. */
  waiting(): Injected[];
  /** The same as texts, each with the witness of the step that tells it. */
  read(): Promise<Said[]>;
  /** Calls back when something has come. Gives the way to end that. */
  onCome(heard: () => void): () => void;
}

/** What stands beside a step that tells these: who said what, since an agent may word it in its own way. */
export const witnessOf = (told: readonly Injected[]): { [key: string]: Json } => ({
  ...(told.length === 1 && told[0]!.witness),
  by: [...new Set(told.map(({ witness }) => witness.by))].join(", "),
  inject: told.map(({ id }) => id),
  said: told.map(({ item }) => item),
});

export const wordsOf = async (scope: Pick<LiveScope, "store">, { item }: Injected): Promise<string> =>
  textOf(await getItem(scope.store, item), "");

export function makeInbox(scope: LiveScope): Inbox {
  const { writer } = scope;
  const { fold } = writer;
  const told = new Set([...fold.steps.values()].flatMap(toldBy));
  const listeners = new Set<() => void>();
  writer.watch((frame) => {
    if (frame.phase === "outcome") for (const id of toldBy(fold.steps.get(frame.n)!)) told.add(id);
    if (frame.phase === "note" && frame.facts.note.startsWith(NOTE)) for (const heard of listeners) heard();
  });
  const waiting = (): Injected[] => notesIn(fold).filter(({ id }) => !told.has(id));
  return {
    waiting,
    read: () =>
      Promise.all(waiting().map(async (each) => ({ text: await wordsOf(scope, each), witness: witnessOf([each]) }))),
    onCome: (heard) => {
      listeners.add(heard);
      return () => listeners.delete(heard);
    },
  };
}
