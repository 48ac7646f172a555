/** Copies of an agent's own record of a conversation, and the one that reaches a place. */
import { driverOf } from "../scope/driver.ts";
import type { LiveScope } from "../scope/scope.ts";
import { getBytes, getItem, putBytes, textOf } from "../scope/thread.ts";
import { type Found, readLog } from "../scope/view.ts";
import type { Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { readWithin } from "../world/within.ts";
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

/** The record up to a place: of the newest copy that reaches it, of this scope or of those that it was forked from. */
export async function sessionAt(
  store: EmbeddedStore,
  log: string,
  plugin: Plugin,
  path: string,
  place: Place,
): Promise<Buffer | null> {
  for (let at: string | undefined = log; at !== undefined; ) {
    const live = atHand(store, at, path);
    const found = live && plugin.session.cut(live, place);
    if (found) return found;
    const { fold } = await readLog(store, at);
    for (const what of await notedIn(store, at)) {
      const record = plugin.session.cut(await getBytes(store, what), place);
      if (record) return record;
    }
    at = fold.header.origin?.log;
  }
  return null;
}

/** A record, with the results that others have taken the place of on the way to where a scope stands. */
export async function rewritten(
  store: EmbeddedStore,
  came: readonly Found[],
  plugin: Plugin,
  record: Buffer,
): Promise<Buffer> {
  let told = record;
  for (const { step } of [...came].reverse()) {
    if (step.intent.kind !== "rewrite" || step.outcome?.status !== "done") continue;
    const item = await getItem(store, step.intent.what!);
    if (item.role === "result") told = plugin.session.rewrite(told, item.call, textOf(item));
  }
  return told;
}

/** Newest first. */
async function notedIn(store: EmbeddedStore, log: string): Promise<Link[]> {
  const found: Link[] = [];
  for await (const frame of store.logs.read(log))
    if (frame.phase === "note" && frame.facts.note === NOTE) found.push(frame.facts.what as Link);
  return found.reverse();
}
