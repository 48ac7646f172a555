/** Results that are ours: told in the place of another one, or of a call that was left behind. An agent's own record does not have them. */
import { settlePending } from "../run/recover.ts";
import { type LiveScope, record } from "../scope/scope.ts";
import { getItem, itemsOf, MAIN, notRun, openCalls, putItem, textOf } from "../scope/thread.ts";
import { allSteps, type Found, type View } from "../scope/view.ts";
import type { Link } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Plugin } from "./plugin.ts";

/** Texts of results by the ids of their calls. */
export type Results = ReadonlyMap<string, string>;

const REVERTED = "reverted";

/** With those of calls that are left behind. */
export const withNotRun = (made: Results, open: readonly string[]): Results =>
  new Map([...made, ...open.map((id) => [id, textOf(notRun(id, REVERTED))] as const)]);

/**
 * Those of some steps; of two of one call, that of the step that stands first.
 * @param known what was read of steps, for who asks of many places
 */
export async function madeIn(
  store: EmbeddedStore,
  steps: readonly Found[],
  known = new Map<Step, Array<[string, string]>>(),
): Promise<Results> {
  const made = new Map<string, string>();
  for (const { step } of steps) {
    const found = known.get(step) ?? (await resultsOf(store, step));
    known.set(step, found);
    for (const [call, text] of found) if (!made.has(call)) made.set(call, text);
  }
  return made;
}

async function resultsOf(store: EmbeddedStore, { intent, outcome }: Step): Promise<Array<[string, string]>> {
  if (outcome?.status !== "done" || !["rewrite", "message"].includes(intent.kind)) return [];
  const links = intent.kind === "rewrite" ? [intent.what as Link] : (outcome.threads?.[MAIN]?.append ?? []);
  const items = await Promise.all(links.map((each) => getItem(store, each)));
  return items.flatMap((item) => (item.role === "result" ? [[item.call, textOf(item)] as [string, string]] : []));
}

/** All that a run went through has, also what it went back behind: a call can have several. */
export async function everMade(store: EmbeddedStore, view: View): Promise<Array<[call: string, text: string]>> {
  const made: Array<[string, string]> = [];
  for (const { step } of await allSteps(store, view)) made.push(...(await resultsOf(store, step)));
  return made;
}

/** A record with the results that are ours on the way to its place; null where it is of another past, in which a call has another result of ours. */
export function withMade(
  { session }: Pick<Plugin, "session">,
  record: Buffer,
  made: Results,
  ever: ReadonlyArray<[call: string, text: string]>,
): Buffer | null {
  const has = (call: string, text: string): boolean => session.rewrite(record, call, text).equals(record);
  // Without the call it stays the same whatever the text is.
  for (const [call, text] of ever)
    if (made.get(call) !== text && has(call, text) && !has(call, `${text}.`)) return null;
  let told = record;
  for (const [call, text] of made) told = session.rewrite(told, call, text);
  return told;
}

/** Leaves behind what a scope has open: the calls of all its conversations are told as not run, in one step. Written at return. */
export async function leaveOpen(scope: LiveScope): Promise<void> {
  await settlePending(scope);
  const { store } = scope;
  const threads: { [name: string]: { append: Link[] } } = {};
  for (const [name, session] of Object.entries(scope.head().state!.threads)) {
    const append: Link[] = [];
    for (const { id } of openCalls(await itemsOf(store, session)))
      append.push(await putItem(store, notRun(id, REVERTED)));
    if (append.length > 0) threads[name] = { append };
  }
  const what = threads[MAIN]?.append.at(-1);
  if (what)
    await record(scope, { kind: "message", tier: "reversible", thread: MAIN, what }, { status: "done", threads });
}
