/** Handoff: a step behind which a conversation begins anew, on the files as they are or on those of another scope. */
import type { Carry, Hash, Json, Link, State } from "../trace/ports.ts";
import { planOperation, updateOperation } from "./operations.ts";
import type { LiveScope } from "./scope.ts";
import { type Item, putItem } from "./thread.ts";
import { sealedStep, type View } from "./view.ts";

/** Whose files a scope goes on with. */
interface Leader {
  name: string;
  n: number;
  id: Hash;
  log: string;
  workspace: Link;
  carry: Carry;
}

export interface HandoffOptions {
  /** What the new conversation begins with. */
  text: string;
  thread: string;
  /** Whether the message is a part of the conversation at once, or is said by an agent that keeps its own. */
  says: boolean;
  /** The scope whose files it goes on with, and at which step; its own without. */
  from?: { view: View; n: number } | undefined;
  /** Who does it, and why. */
  witness?: { [key: string]: Json };
}

/**
 * Begins the conversations of a scope anew. Of another scope it takes the files, whole: what stood in its own stays in the log. Grants and effects
 * stay whose they are. Synced at return. Gives the number of the step.
 */
export async function handoffScope(scope: LiveScope, options: HandoffOptions): Promise<{ n: number; op: number }> {
  const { store, writer, ref } = scope;
  const { text, thread, says, from, witness = {} } = options;
  const leader = from ? await leaderOf(scope, from) : null;
  const before = scope.head().state;
  if (!before) throw new Error(`${ref.name} has not begun yet, so there is nothing to hand over.`);
  const message: Item = { role: "user", content: [{ type: "text", text: text.toWellFormed() }] };
  const what = await putItem(store, message);
  // What a step names as its parent must not be lost before it.
  if (leader) await store.logs.sync(leader.log);
  const operation = await planOperation(store, {
    kind: "handoff",
    workspace: ref.workspace,
    scope: ref.name,
    log: ref.log,
    ...(leader && { details: { from: leader.name, step: leader.n } }),
  });
  const n = await writer.intent(
    { kind: "handoff", tier: "reversible", thread, what, ...(leader && { of: leader.id }) },
    { witness: { ...witness, ...(leader && { from: leader.name, step: leader.n }), op: operation.op } },
  );
  const workspace = leader?.workspace ?? before.roots.workspace;
  const state: State = { roots: { workspace }, threads: {} };
  const carry = leader ? { ...scope.head().carry, ...leader.carry } : null;
  if (carry) await scope.files?.restore(workspace, carry);
  await writer.outcome(
    n,
    {
      status: "done",
      state,
      ...(says && { threads: { [thread]: { append: [what] } } }),
      ...(leader && { with: leader.id }),
    },
    { witness: { at: Date.now() }, ...(carry && { carry }) },
  );
  await writer.sync();
  await updateOperation(store, operation, { state: "done", n });
  return { n, op: operation.op };
}

async function leaderOf({ store }: LiveScope, { view, n }: { view: View; n: number }): Promise<Leader> {
  const { sealed } = await sealedStep(store, view, n);
  const { vcs, vcsMtimes, outerVcs, mtimes } = sealed.carry;
  return {
    name: view.ref?.name ?? "main",
    n,
    id: sealed.id,
    log: view.log,
    workspace: sealed.state.roots.workspace,
    // What an agent knows of itself, its `/tmp` and the machine that it sees are its own.
    carry: {
      ...(vcs && { vcs }),
      ...(vcsMtimes && { vcsMtimes }),
      ...(outerVcs && { outerVcs }),
      ...(mtimes && { mtimes }),
    },
  };
}
