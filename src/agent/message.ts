/** A user's message to an agent that is at rest. */
import { record, type LiveScope } from "../scope/scope.ts";
import { type Call, type Item, itemsOf, notRun, openCalls, putItem } from "../scope/thread.ts";
import type { Link } from "../trace/ports.ts";
import { abandonModel, settleModel, settleStale } from "./settle.ts";
import { waiting } from "./steps.ts";

/**
 * Appends a user's message to a thread, as a step. A new instruction leaves behind what was under way: calls that are open are answered
 * `not run: reverted` before it. Gives the number of the step. Written at return.
 */
export async function say(scope: LiveScope, thread: string, text: string): Promise<number> {
  for (const step of waiting(scope.writer.fold, thread, "model"))
    if ((await settleModel(scope, step)) === "again") await abandonModel(scope, step);
  const items = await itemsOf(scope.store, scope.head().state?.threads[thread]);
  return answer(scope, thread, openCalls(items), text);
}

/** The step that answers open calls that are not performed, and carries a message if there is one. Gives its number. */
export async function answer(scope: LiveScope, thread: string, open: readonly Call[], text?: string): Promise<number> {
  const items: Item[] = open.map((call) => notRun(call.id, "reverted"));
  if (text !== undefined) items.push({ role: "user", content: [{ type: "text", text: text.toWellFormed() }] });
  const append: Link[] = text === undefined ? [] : unsaid(scope, thread);
  for (const item of items) append.push(await putItem(scope.store, item));
  const what = append.at(-1);
  const facts = { kind: "message" as const, tier: "reversible" as const, thread, ...(what && { what }) };
  const { n } = await record(scope, facts, { status: "done", threads: { [thread]: { append } } });
  await settleStale(scope, thread);
  return n;
}

/** The message that was cut off just before, without a call: the user has seen it, so the model must know what it said. */
function unsaid(scope: LiveScope, thread: string): Link[] {
  const last = scope.writer.fold.sealed.findLast(({ intent, outcome }) => intent.thread === thread || outcome?.state);
  if (last?.intent.kind !== "model" || last.outcome?.status !== "cut" || last.outcome.threads || !last.outcome.result) return [];
  return [last.outcome.result];
}
