/** Operations between two: merge and landing, sync, and their conflicts. */
import { landRun } from "../../../src/run/land.ts";
import { freshMain } from "../../../src/run/placing.ts";
import { mergeScope, syncScope, type Take } from "../../../src/scope/merge.ts";
import { readScope } from "../../../src/scope/view.ts";
import { target } from "../../../src/trace/bytes.ts";
import { traceOf } from "../query.ts";
import { stepAt } from "../seal.ts";
import type { Name, Of, Reply } from "../types.ts";
import { same } from "../value.ts";
import type { Real } from "./real.ts";
import { done, drivenOf, type Handlers, refused } from "./reply.ts";
import { oneSided } from "./within.ts";

/** The user saves a file while a landing is under way: after it looked, before it acts. */
export function racing(real: Real, race: Of<"merge">["race"]): Real["store"] {
  if (!race) return real.store;
  let saved = false;
  const sync = async (): Promise<void> => {
    if (!saved) real.save(race);
    saved = true;
    await real.store.objects.sync();
  };
  return { ...real.store, objects: { ...real.store.objects, sync } };
}

export const confirm = async (): Promise<boolean> => true;

async function mergeInto(
  real: Real,
  scope: Name,
  into: Name,
  options: { take?: Take; race?: Of<"merge">["race"] } = {},
): Promise<Reply> {
  const { take, race } = options;
  if (into === "main") {
    const landed = await landRun(racing(real, race), scope, { confirm, ...(take && { take }) });
    if (landed.status === "nothing") return refused("nothing");
    return done(landed.status === "conflict" ? "conflict" : "landed");
  }
  await freshMain(real.store, real.user);
  const parent = drivenOf(real, into);
  const merged = await mergeScope(parent.live, await readScope(real.store, scope), take);
  if (merged.status === "nothing") return refused("nothing");
  if (merged.status === "conflict") return done("conflict", { n: merged.n as number });
  return done(merged.adopted ? "adopted" : "merged", { n: merged.n as number });
}

async function syncFrom(real: Real, scope: Name, from: Name, take?: Take): Promise<Reply> {
  const main = await freshMain(real.store, real.user);
  const { live } = drivenOf(real, scope);
  let source = { id: main.head.id, tree: main.tree, name: "main", log: main.log };
  if (from !== "main") {
    const { log, fold } = await readScope(real.store, from);
    const { id, state } = fold.head();
    source = { id: id!, tree: target(state!.roots.workspace), name: from, log };
  }
  const synced = await syncScope(live, source, { take });
  if (synced.status === "nothing") return refused("nothing");
  return done(synced.status === "conflict" ? "conflict" : "ok", { n: synced.n as number });
}

const asResolve = (reply: Reply): Reply => ("ok" in reply && reply.ok !== "conflict" ? { ...reply, ok: "ok" } : reply);

export const together: Handlers = {
  merge: (real, { scope, race }, { before }) =>
    mergeInto(real, scope, traceOf(before, scope).header.parent as Name, race ? { race } : {}),
  sync: (real, { scope }, { before }) => syncFrom(real, scope, traceOf(before, scope).header.parent as Name),
  resolve: async (real, command, { before }) => {
    const { scope, n } = command;
    const s = stepAt(traceOf(before, scope), n)!;
    const take = (["ours", "theirs"] as const).find((side) => same(oneSided(before, command, side), command))!;
    if (s.intent.facts.kind === "sync")
      return syncFrom(real, scope, traceOf(before, scope).header.parent as Name, take).then(asResolve);
    return mergeInto(real, s.intent.links.child!.scope, scope, { take }).then(asResolve);
  },
};
