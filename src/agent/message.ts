/** A user's message to an agent that is at rest. */
import type { Said } from "../run/inject.ts";
import { type LiveScope, record } from "../scope/scope.ts";
import { type Item, itemsOf, notRun, openCalls, putItem } from "../scope/thread.ts";
import type { Link } from "../trace/ports.ts";
import { abandonModel, settleCalls, settleModel } from "./settle.ts";
import { waiting } from "./steps.ts";

/**
 * Appends a user's message to a thread, as a step. A new instruction leaves behind what was under way: calls that are open are answered
 * `not run: reverted` before it. Gives the number of the step. Written at return.
 */
export async function say(scope: LiveScope, thread: string, text: string): Promise<number> {
  return (await leaveBehind(scope, thread, text))!;
}

/** As `say`; without a text, a step that holds the answers alone, and null where no call is open. */
export async function leaveBehind(scope: LiveScope, thread: string, text?: string): Promise<number | null> {
  for (const step of waiting(scope.writer.fold, thread, "model"))
    if ((await settleModel(scope, step)) === "again" && text !== undefined) await abandonModel(scope, step);
  // First, so that results that only waited for these calls come into the conversation.
  await settleCalls(scope, thread, "all");
  const open = openCalls(await itemsOf(scope.store, scope.head().state?.threads[thread]));
  if (open.length === 0 && text === undefined) return null;
  const items: Item[] = open.map((call) => notRun(call.id, "reverted"));
  if (text !== undefined) items.push({ role: "user", content: [{ type: "text", text: text.toWellFormed() }] });
  const append: Link[] = text === undefined ? [] : unsaid(scope, thread);
  for (const item of items) append.push(await putItem(scope.store, item));
  const facts = { kind: "message" as const, tier: "reversible" as const, thread, what: append.at(-1)! };
  return (await record(scope, facts, { status: "done", threads: { [thread]: { append } } })).n;
}

/** Tells an agent something between two of its turns: a step `inject` each. Whether there was anything. Written at return. */
export async function tell(scope: LiveScope, thread: string, said: readonly Said[]): Promise<boolean> {
  for (const { text, witness } of said) {
    const what = await putItem(scope.store, { role: "user", content: [{ type: "text", text: text.toWellFormed() }] });
    const facts = { kind: "inject" as const, tier: "reversible" as const, thread, what };
    const outcome = { status: "done" as const, threads: { [thread]: { append: [what] } } };
    await record(scope, facts, outcome, witness ? { witness } : {});
  }
  return said.length > 0;
}

/** The message that was cut off just before, without a call: the user has seen it, so the model must know what it said. */
function unsaid(scope: LiveScope, thread: string): Link[] {
  const last = scope.writer.fold.sealed.findLast(({ intent, outcome }) => intent.thread === thread || outcome?.state);
  if (last?.intent.kind !== "model" || last.outcome?.status !== "cut" || last.outcome.threads || !last.outcome.result)
    return [];
  return [last.outcome.result];
}
