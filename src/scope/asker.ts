/** Who asked for a step: the model call that it was a part of, and what the user had said before that. */
import type { Hash } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { getItem, MAIN, ownWords } from "./thread.ts";
import { cameThrough, type Found, readLog, type View } from "./view.ts";

export interface Asked {
  /** The model call; null where no model asked. */
  model: Found | null;
  /** The task, a message or injected guidance of the user, or the command that the user typed; null where nothing of that is known. */
  user: Found | null;
}

/** Gives who asked for a step. What was read for one is not read again for the next. */
export function askers(store: EmbeddedStore): (of: Found) => Promise<Asked> {
  const views = new Map<string, Promise<View>>();
  const messages = new Map<Hash, Promise<boolean>>();
  const viewOf = (log: string): Promise<View> => {
    const view = views.get(log) ?? readLog(store, log);
    views.set(log, view);
    return view;
  };
  /** Whether a step tells something that a person said. */
  const says = async ({ intent, outcome, frame }: Step): Promise<boolean> => {
    if (outcome?.status !== "done") return false;
    if (intent.kind === "run" || intent.kind === "inject") return true;
    if (intent.kind !== "message" || (intent.thread ?? MAIN) !== MAIN) return false;
    const known = messages.get(frame) ?? isOfUser(store, outcome.threads?.[MAIN]?.append ?? []);
    messages.set(frame, known);
    return known;
  };
  return async ({ log, step }) => {
    const view = await viewOf(log);
    const { steps } = view.fold;
    const turn = step.links.turn === undefined ? undefined : steps.get(step.links.turn);
    const model = turn ? { log, step: turn } : null;
    // What a sub-agent or a script did was asked for where it was called.
    let outer = step;
    for (
      let at: Step | undefined = step;
      at;
      at = at.links.inside === undefined ? undefined : steps.get(at.links.inside)
    )
      outer = at;
    const typed = outer.intent.kind === "command" || (outer.intent.kind === "tool" && outer.intent.thread !== MAIN);
    if (typed && outer.links.turn === undefined) return { model, user: { log, step: outer } };
    for (const each of await cameThrough(store, view, { log, step }))
      if (each.step.n < outer.n && (await says(each.step))) return { model, user: each };
    return { model, user: null };
  };
}

async function isOfUser(store: EmbeddedStore, said: readonly Parameters<typeof getItem>[1][]): Promise<boolean> {
  for (const each of said) {
    const item = await getItem(store, each);
    if (item.role === "user" && ownWords(item) !== "") return true;
  }
  return false;
}
