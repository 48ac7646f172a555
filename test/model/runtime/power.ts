/** The power fails: what the model counts as synced is there again, and of what was only written a beginning. */

import { lookAtMain } from "../../../src/run/main.ts";
import { recoverLandings } from "../../../src/run/placing.ts";
import { settleOperations, settlePending } from "../../../src/run/recover.ts";
import { mergeBases } from "../../../src/scope/history.ts";
import { workspaceOf } from "../../../src/scope/registry.ts";
import type { Fold } from "../../../src/trace/seal.ts";
import type { Random } from "../../support/simdisk.ts";
import { isDiscarded, traceOf } from "../query.ts";
import { traceUpTo } from "../seal.ts";
import type { Name, Scope, System } from "../types.ts";
import type { Known } from "./abstraction.ts";
import type { Difference } from "./difference.ts";
import { isGone } from "./gone.ts";
import { compensator } from "./outside.ts";
import { readingOf, viewOf } from "./reading.ts";
import type { Real } from "./real.ts";

const ids = ({ sealed }: Fold): string[] => sealed.map((step) => step.sealed!.id);

export async function losePower(real: Real, sys: System, known: Known, luck: Random): Promise<Difference> {
  const names = Object.keys(sys.scopes).filter((name) => !isGone(sys, name));
  const had = new Map<Name, string[]>();
  for (const name of names) had.set(name, ids((await readingOf(real, sys, name, known.readings)).fold));
  for (const each of [real.driven, real.seized, real.stale]) each.clear();
  await real.losePower(luck);
  for (const name of names) {
    const told = await keptOf(real, sys, name, had.get(name)!);
    if (told) return `${name}, when the power is back: ${told}`;
  }
  return unusable(real, sys, names);
}

async function keptOf(real: Real, sys: System, name: Name, had: readonly string[]): Promise<Difference> {
  const { log } = sys.scopes[name] as Scope;
  const synced = traceUpTo(log, log.synced).sealed.length;
  const has = ids((await viewOf(real, name)).fold);
  if (has.some((id, at) => id !== had[at])) return "it has commits that it had not";
  return has.length < synced ? `it has ${has.length} commits, and ${synced} were synced` : undefined;
}

/** "The next command works, without repair by hand." */
async function unusable(real: Real, sys: System, names: readonly Name[]): Promise<Difference> {
  await recoverLandings(real.store, real.user);
  await settleOperations(real.store, workspaceOf(real.user).id);
  const { head } = await lookAtMain(real.store, real.user);
  for (const name of names) {
    if (name === "main" || isDiscarded(traceOf(sys, name))) continue;
    const driven = await real.take(name);
    await settlePending(driven.live, compensator(real));
    const { id } = driven.live.head();
    if (id) await mergeBases(real.store, id, head.id);
    await real.release(driven);
  }
  return undefined;
}
