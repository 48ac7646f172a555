/** Copies of an agent's own record of a conversation, and the one that reaches a place. */
import { driverOf } from "../scope/driver.ts";
import type { LiveScope } from "../scope/scope.ts";
import { getBytes, putBytes } from "../scope/thread.ts";
import { readLog, type View } from "../scope/view.ts";
import type { Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { readWithin } from "../world/within.ts";
import { everMade, type Results, withMade } from "./made.ts";
import type { Place } from "./place.ts";
import type { Plugin } from "./plugin.ts";

const NOTE = "session";

/** Notes the record as it is now. Written at return. */
export async function keepSession(scope: LiveScope, path: string): Promise<void> {
  const record = atHand(scope.store, scope.ref.log, path);
  if (!record) return;
  const what = await putBytes(scope.store, record);
  if (scope.writer.fold.notes.get(NOTE)?.facts.what !== what) await scope.writer.note(null, { note: NOTE, what });
}

/** As the files of a scope have it, also while nobody has them open. */
function atHand(store: EmbeddedStore, log: string, path: string): Buffer | null {
  const directory = driverOf(store).kept("config", log);
  return directory === null ? null : readWithin(directory, path);
}

/**
 * The record up to a place, with the results that are ours: of the newest copy that reaches it, of this scope or of those that it was forked from.
 * One that has results of all calls comes before one to which ours are added, since it tells also what the agent found out behind them.
 */
export async function sessionAt(
  store: EmbeddedStore,
  view: View,
  plugin: Pick<Plugin, "session">,
  path: string,
  { place, made, belongs = () => true }: { place: Place; made: Results; belongs?: (record: Buffer) => boolean },
): Promise<Buffer | null> {
  const { answered, made: ours } = place;
  const places = ours.length === 0 ? [place] : [{ ...place, answered: [...answered, ...ours], made: [] }, place];
  const ever = await everMade(store, view);
  for (const each of places)
    for await (const copy of copiesOf(store, view.log, path)) {
      const record = plugin.session.cut(copy, each);
      const told = record && belongs(record) && withMade(plugin, record, made, ever);
      if (told) return told;
    }
  return null;
}

/** Copies of the record, newest first, of a scope and then of those that it was forked from. */
async function* copiesOf(store: EmbeddedStore, log: string, path: string): AsyncGenerator<Buffer> {
  for (let at: string | undefined = log; at !== undefined; ) {
    const live = atHand(store, at, path);
    if (live) yield live;
    const { fold } = await readLog(store, at);
    for (const what of await notedIn(store, at)) yield await getBytes(store, what);
    at = fold.header.origin?.log;
  }
}

/** Newest first. */
async function notedIn(store: EmbeddedStore, log: string): Promise<Link[]> {
  const found: Link[] = [];
  for await (const frame of store.logs.read(log))
    if (frame.phase === "note" && frame.facts.note === NOTE) found.push(frame.facts.what as Link);
  return found.reverse();
}
