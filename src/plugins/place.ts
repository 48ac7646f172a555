/** Where a run stands, as its agent's own record of the conversation must say it. */
import { itemsOf, itemsReader, MAIN, openCalls, textOf } from "../scope/thread.ts";
import type { Found } from "../scope/view.ts";
import type { State } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Results } from "./made.ts";
import type { Plugin } from "./plugin.ts";

export interface Place {
  /** Messages of the model up to here; 0: nothing was said yet. */
  turns: number;
  /** Calls of the last of them that have results, those whose result is ours, and those that have none. */
  answered: string[];
  /** A record may have another result of them, or none. */
  made: string[];
  open: string[];
  /** Calls that had their results before that message. */
  before: string[];
  /** What was said before the first answer: a summary, where the agent has compacted the conversation. */
  first: string;
  /** The last message of the model, where it has no calls. */
  last: string | null;
  /** Whether something was said behind them. */
  said: boolean;
}

/** The place, once its open calls are left behind. */
export const leftBehind = (place: Place): Place => ({ ...place, made: [...place.made, ...place.open], open: [] });

/**
 * The place of a state in its main conversation.
 * @param made results that are ours
 * @param read gives the messages of a conversation
 */
export async function placeOf(
  store: EmbeddedStore,
  state: State,
  made: Results = new Map(),
  read = itemsReader(store),
): Promise<Place> {
  const items = await read(state.threads[MAIN]);
  const said = items.filter(({ role }) => role === "assistant");
  const last = said.at(-1);
  const open = openCalls(items.filter(({ role }) => role === "assistant" || role === "result")).map(({ id }) => id);
  const calls =
    last?.role === "assistant" ? last.content.flatMap((each) => (each.type === "call" ? [each.id] : [])) : [];
  const until = last ? items.lastIndexOf(last) : items.length;
  return {
    turns: said.length,
    answered: calls.filter((id) => !open.includes(id) && !made.has(id)),
    made: calls.filter((id) => made.has(id)),
    open,
    first: items
      .slice(0, said[0] ? items.indexOf(said[0]) : items.length)
      .map((item) => textOf(item))
      .join("\n"),
    last: last && calls.length === 0 ? textOf(last) : null,
    before: items.slice(0, until).flatMap((item) => (item.role === "result" ? [item.call] : [])),
    said: items.slice(until + 1).some(({ role }) => role !== "result"),
  };
}

/**
 * Whether a place stands between the calls of a turn, of which an agent has no record: some have results and some have not, or a script has made
 * some of its own, and going on from the answer that asks for it would do once more what is done.
 * @param came what its state came through, newest first
 */
export async function isBetween(
  store: EmbeddedStore,
  came: readonly Found[],
  { open, answered, made }: Place,
  plugin: Pick<Plugin, "traits">,
): Promise<boolean> {
  if (open.length === 0 || answered.length + made.length > 0) return open.length > 0;
  const last = came.find(({ step }) => SPOKEN.includes(step.intent.kind))?.step;
  if (last?.links.inside === undefined) return false;
  const calls = openCalls(await itemsOf(store, last.sealed!.state.threads[MAIN]));
  return calls.some((call) => plugin.traits(call).script);
}

/** Kinds of the steps that an agent has a part in. */
const SPOKEN: readonly string[] = ["model", "tool", "message"];
