/** Another result in the place of a call's: what the model is told is changed, and nothing of what the call did. */
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Beginning } from "./fork.ts";
import { record } from "./scope.ts";
import { type Call, getBytes, type Item, itemNodes, itemsOf, MAIN, openCalls, putItem } from "./thread.ts";
import { callsOf, type Found, howFinished, readLog, StepError, type View } from "./view.ts";

/** The step behind which another result can take the place of that of a call: the last of its turn. Throws `StepError` for what is no such call. */
export async function endOfTurn(store: EmbeddedStore, { view, log, step }: Found & { view: View }): Promise<Step> {
  const { n, intent, links } = step;
  if (intent.kind !== "tool" || links.turn === undefined)
    throw new StepError(`Step ${n} is no call of a model, so there is no result that could be another one.`);
  if ((intent.thread ?? MAIN) !== MAIN)
    throw new StepError(`Step ${n} is a call of a sub-agent: only one of the run itself can have another result.`);
  const { fold } = await readLog(store, log);
  const calls = callsOf(fold, links.turn);
  const waits = calls.find(({ sealed }) => !sealed);
  if (waits)
    throw new StepError(`Step ${waits.n}, of the same turn, is not finished: ${await howFinished(store, view)}.`);
  const last = calls.at(-1)!;
  const items = await itemsOf(store, last.sealed!.state.threads[MAIN]);
  if ((await resultAt(store, items, step)) < 0 || openCalls(items).length > 0)
    throw new StepError(`The model was not told what came of the calls of step ${links.turn}.`);
  return last;
}

/** Where a conversation tells what came of a call; -1 where it does not. */
async function resultAt(store: EmbeddedStore, items: readonly Item[], { intent }: Step): Promise<number> {
  const { id } = JSON.parse((await getBytes(store, intent.what!)).toString()) as Call;
  return items.findLastIndex((item) => item.role === "result" && item.call === id);
}

/** Writes a step `rewrite` into a scope that stands behind that turn. Synced at return. */
export async function rewriteResult({ store, head, writer }: Beginning, call: Step, text: string): Promise<number> {
  const state = head().state!;
  const session = state.threads[MAIN]!;
  const nodes = await itemNodes(store, session);
  const items = await itemsOf(store, session);
  const at = await resultAt(store, items, call);
  const was = items[at] as Item & { role: "result" };
  const what = await putItem(store, { ...was, status: "done", content: [{ type: "text", text }] });
  const before = { ...session, items: nodes[at - 1]?.node ?? null };
  const append = [what, ...nodes.slice(at + 1).map(({ item }) => item)];
  const { n } = await record(
    { writer },
    { kind: "rewrite", tier: "reversible", thread: MAIN, what },
    {
      status: "done",
      state: { ...state, threads: { ...state.threads, [MAIN]: before } },
      threads: { [MAIN]: { append } },
    },
    { witness: { of: call.n } },
  );
  await writer.sync();
  return n;
}
