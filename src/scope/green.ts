/** The check of a workspace: a command that the user takes for the word on a state; and the newest step at which it passed. */
import { decodeJson } from "../trace/bytes.ts";
import type { Hash, Json } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { getBytes } from "./thread.ts";
import { cameThrough, type Found, type View } from "./view.ts";

const refOf = (workspace: string): string => `check/${workspace}`;

/** The command, as it was typed; null where none is set. */
export async function checkOf(store: EmbeddedStore, workspace: string): Promise<string | null> {
  const ref = await store.refs.get(refOf(workspace));
  return ref ? (JSON.parse(ref.value) as { command: string }).command : null;
}

/** Sets the check, or with null leaves none. Synced at return. */
export async function setCheck(store: EmbeddedStore, workspace: string, command: string | null): Promise<void> {
  for (;;) {
    const ref = await store.refs.get(refOf(workspace));
    if (!ref && command === null) return;
    const value = command === null ? null : JSON.stringify({ command });
    if (await store.refs.cas(refOf(workspace), ref?.version ?? 0, value)) return;
  }
}

interface Passed {
  command: string;
  commit: Hash;
}

/** Writes down that a command passed on the state of a commit of this log. Synced at return. */
export async function notePassed(store: EmbeddedStore, log: string, passed: Passed): Promise<void> {
  for (;;) {
    const ref = await store.refs.get(`green/${log}`);
    if (await store.refs.cas(`green/${log}`, ref?.version ?? 0, JSON.stringify(passed))) return;
  }
}

/**
 * The newest step that a run came through at which the check passed: a call or a command that was this very command and ended well, or one where it was tried
 * and that was written down. Null where there is none.
 */
export async function greenStep(store: EmbeddedStore, view: View, command: string): Promise<Found | null> {
  const ref = await store.refs.get(`green/${view.log}`);
  const passed = ref && (JSON.parse(ref.value) as Passed);
  for (const found of await cameThrough(store, view)) {
    if (passed?.command === command && found.step.sealed!.id === passed.commit) return found;
    const typed = found.step.outcome?.status === "done" ? await commandOf(store, found.step) : null;
    if (typed !== null && plainly(typed) === plainly(command)) return found;
  }
  return null;
}

const plainly = (command: string): string => command.trim().replace(/\s+/g, " ");

/** The command that a step ran, as it was typed; null where it ran none. */
async function commandOf(store: EmbeddedStore, { intent }: Step): Promise<string | null> {
  if (!intent.what || (intent.kind !== "tool" && intent.kind !== "command")) return null;
  let asked: { [name: string]: Json } | null;
  try {
    asked = decodeJson(await getBytes(store, intent.what)) as typeof asked;
  } catch {
    return null;
  }
  if (intent.kind === "command") return typeof asked?.text === "string" ? asked.text : null;
  const input = asked?.input as { [name: string]: Json } | null | undefined;
  const command = input?.command ?? input?.cmd;
  // `["bash", "-lc", "npm test"]`
  const last = Array.isArray(command) ? command.at(-1) : command;
  return typeof last === "string" ? last : null;
}
