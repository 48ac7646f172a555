/** All owners die, and the next command is one of the command line: it takes a scope over, ends what is in doubt, reverts it, and takes that back. */
import { operate } from "../../../src/run/operate.ts";
import { newestUndoable } from "../../../src/scope/operations.ts";
import { ownedSince } from "../../../src/scope/owned.ts";
import { workspaceOf } from "../../../src/scope/registry.ts";
import { before } from "../../../src/scope/view.ts";
import { tierOf } from "../../../src/trace/seal.ts";
import { isDiscarded, traceOf } from "../query.ts";
import type { Name, System } from "../types.ts";
import { type Difference, differ } from "./difference.ts";
import { isGone } from "./gone.ts";
import { viewOf } from "./reading.ts";
import type { Real } from "./real.ts";

export async function operateOwnerless(real: Real, sys: System): Promise<Difference> {
  for (const each of [real.driven, real.seized, real.stale]) each.clear();
  await real.reopen(true);
  for (const name of Object.keys(sys.scopes)) {
    if (name === "main" || isGone(sys, name) || isDiscarded(traceOf(sys, name))) continue;
    const told = await backAndForth(real, name);
    if (told) return `${name}, taken over by a command: ${told}`;
  }
  return undefined;
}

async function backAndForth(real: Real, name: Name): Promise<Difference> {
  const { store } = real;
  const view = await viewOf(real, name);
  const owned = await ownedSince(store, view, -1);
  // Only the program that declared an effect knows how to take it back.
  if (owned.some((each) => tierOf(each.step) === "compensable" && !each.compensated)) return undefined;
  const [first] = view.fold.sealed;
  const { n, state } = first ? { n: first.n, state: first.sealed!.state } : view.fold.header.origin!;
  await operate(store, name, "revert", { n, acknowledge: true });
  const { fold } = await viewOf(real, name);
  const step = fold.sealed.at(-1)!;
  const undo = (await newestUndoable(store, workspaceOf(real.user).id))!;
  const told =
    differ("what has no commit", [], fold.pending()) ??
    differ("the state that it was reverted to", state, fold.head().state) ??
    differ("the operation to undo", step.n, undo.n);
  if (told) return told;
  await operate(store, name, "undo", { op: undo.op });
  return differ(
    "the state when that is undone",
    before(fold, step).state,
    (await viewOf(real, name)).fold.head().state,
  );
}
