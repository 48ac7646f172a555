/** What calls had left running when a step was captured: no fork has it, and no revert starts it again. */
import type { Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { getBytes } from "./thread.ts";
import { cameThrough, type Found, type View } from "./view.ts";

/** The command lines of what ran at a step, that of `to` or the newest one, as far as it was looked at. */
export async function leftAt(store: EmbeddedStore, view: View, to?: Found): Promise<string[]> {
  for (const { step } of await cameThrough(store, view, to)) {
    const { outcome, outcomeWitness, intent } = step;
    // What sets the files has ended all before.
    if (intent.kind === "rewrite" || !(outcome?.workspace || outcome?.state)) continue;
    const named = outcomeWitness.processes;
    if (typeof named !== "string") return [];
    const bytes = await getBytes(store, named as Link).catch(() => null);
    return bytes ? (JSON.parse(bytes.toString()) as { processes: string[] }).processes : [];
  }
  return [];
}
