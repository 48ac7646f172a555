/** What stands beside the commits: who has the lock, operations, effects, what reached the outside. */
import { ownedSince } from "../../../src/scope/owned.ts";
import { tierOf } from "../../../src/trace/seal.ts";
import { effects, isCompensated, owner } from "../effects.ts";
import { isUndone, operations, traceOf } from "../query.ts";
import { stepAt, type Trace } from "../seal.ts";
import type { Action, Name, System } from "../types.ts";
import { type Difference, differ } from "./difference.ts";
import { operationsIn, type Read } from "./reading.ts";
import type { Real } from "./real.ts";

const sorted = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b);

/** @param served whether everybody has the lock who may have it */
export function compareLive(real: Real, sys: System, name: Name, served: boolean): Difference {
  const live = sys.scopes[name]?.live;
  if (name === "main" || !live) return undefined;
  const driven = real.driven.get(name);
  if (!driven) return "nobody drives it";
  const runs = [...driven.calls.all.values()].filter((call) => {
    const step = driven.live.writer.fold.steps.get(call.n);
    return call.runs() && step?.intent.kind === "tool" && step.intent.container !== true;
  });
  return (
    differ("files now", live.workspace, driven.files.now()) ??
    (served ? differ("who has the lock", sorted(live.holders), sorted(runs.map(({ n }) => n))) : undefined) ??
    differ("in doubt", sorted(live.asked), sorted(driven.asked))
  );
}

export async function compareOperations(real: Real, sys: System, name: Name, t: Trace): Promise<Difference> {
  const ops = operations(t);
  const model = ops
    .map((op, i) => ({ op, i }))
    .filter(({ op }) => op.time >= sys.horizon)
    .map(({ op, i }) => `${op.kind} ${op.n ?? "-"}${isUndone(ops, i) ? " undone" : ""}`);
  const there = (await operationsIn(real, name)).map((op) => {
    const asked = ops.find(({ n }) => n !== null && n === op.n)?.kind === "resolve" ? "resolve" : op.kind;
    return `${asked} ${op.n ?? "-"}${op.state === "undone" ? " undone" : ""}`;
  });
  return differ("operations", model, there);
}

/** Effects that a scope owns, its own and those that it adopted, and whether they were taken back. */
export async function compareEffects(real: Real, sys: System, name: Name, read: Read): Promise<Difference> {
  if (name === "main") return undefined;
  const owned = effects(sys)
    .filter((e) => owner(sys, e).scope === name)
    .map((e) => `${e.scope}:${e.n} ${e.tier}${isCompensated(sys, e) ? " taken back" : ""}`);
  const there: string[] = [];
  for (const { log, step, compensated } of await ownedSince(real.store, read, -1)) {
    const from = String((await real.store.logs.header(log))?.meta.name);
    if (step.outcome) there.push(`${from}:${step.n} ${tierOf(step)}${compensated ? " taken back" : ""}`);
  }
  return differ("effects that it owns", owned.sort(), there.sort());
}

/** Calls that acted, and compensations, in their order. Requests to a model are not told. */
export const compareDeeds = (real: Real, sys: System): Difference =>
  differ(
    "what reached the outside",
    sys.world.filter((a) => a.does === "compensate" || !isRequest(sys, a)).map((a) => `${a.does} ${a.scope}:${a.n}`),
    real.deeds,
  );
// A scope that gc has taken is not asked any more.
const requests = new WeakMap<Action, boolean>();
function isRequest(sys: System, action: Action): boolean {
  const { scope, n } = action;
  const is =
    requests.get(action) ??
    (sys.scopes[scope] !== undefined && stepAt(traceOf(sys, scope), n)?.intent.facts.kind === "model");
  requests.set(action, is);
  return is;
}
