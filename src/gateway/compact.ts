/** A conversation that its agent has replaced by a summary of it: from here on it is what the agent tells next. */
import type { LiveScope } from "../scope/scope.ts";
import type { Thread } from "./threads.ts";

/** Written at return. Calls without a result stay open: what came of them is told behind the summary. */
export async function compactThread(scope: LiveScope, thread: Thread): Promise<void> {
  const { writer, lock } = scope;
  await thread.turn?.giveUp();
  const n = await writer.intent({ kind: "compact", tier: "reversible", thread: thread.name });
  // It sets the whole state, so nothing else may change that meanwhile.
  const ticket = lock.request("exclusive");
  try {
    await ticket.held;
    const { state } = scope.head();
    if (!state) throw new Error("A conversation without a state cannot be compacted.");
    const shell = state.threads[thread.name]?.shell ?? null;
    const threads = { ...state.threads, [thread.name]: { items: null, shell } };
    await writer.outcome(n, { status: "done", state: { ...state, threads } }, { witness: { at: Date.now() } });
  } finally {
    ticket.release();
  }
  thread.entries = [];
  thread.edits = null;
  thread.asked = null;
}
