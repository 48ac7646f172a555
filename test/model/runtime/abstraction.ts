/** The runtime as the model would have it, compared with the model after every command. The first difference is told. */
import { readFold } from "../../../src/trace/writer.ts";
import { attempt, isDiscarded, pending, traceOf, unsealed } from "../query.ts";
import type { Name, Scope, System } from "../types.ts";
import { compareDeeds, compareEffects, compareLive, compareOperations } from "./beside.ts";
import { compareCommits, type Matched, nothingMatched } from "./commits.ts";
import { directoryOf } from "./contents.ts";
import { type Difference, differ } from "./difference.ts";
import { isGone } from "./gone.ts";
import { type Read, type Readings, readingOf, sizeOf } from "./reading.ts";
import type { Real } from "./real.ts";

/** What is known from the last comparison. */
export interface Known {
  readonly matched: Matched;
  readonly readings: Readings;
  /** Each scope as it was found alike: as the model has it, and how long its log was. */
  readonly alike: Map<Name, { readonly scope: Scope; readonly size: number }>;
}
export const nothingKnown = (): Known => ({ matched: nothingMatched(), readings: new Map(), alike: new Map() });

/** @param served whether everybody has the lock who may have it */
export async function compare(real: Real, sys: System, known: Known, served: boolean): Promise<Difference> {
  for (const name of Object.keys(sys.scopes)) {
    if (isGone(sys, name)) continue;
    const told = await compareScope(real, sys, name, known, served);
    if (told) return `${name}: ${told}`;
  }
  return differ("the user's directory", sys.user, directoryOf(real.user)) ?? compareDeeds(real, sys);
}

async function compareScope(
  real: Real,
  sys: System,
  name: Name,
  { matched, readings, alike }: Known,
  served: boolean,
): Promise<Difference> {
  const scope = sys.scopes[name] as Scope;
  const t = traceOf(sys, name);
  const read = await readingOf(real, sys, name, readings);
  const size = await sizeOf(real, read.log);
  const as = alike.get(name);
  // Its log says nothing new on either side; what others did may still count for it.
  const told =
    (as?.scope === scope && as.size === size
      ? undefined
      : ((await compareCommits(real, name, t, read.fold, matched)) ?? compareOpen(sys, name, read))) ??
    compareLive(real, sys, name, served) ??
    (await compareOperations(real, sys, name, t)) ??
    (await compareEffects(real, sys, name, read)) ??
    (name === "main" ? undefined : differ("discarded", isDiscarded(t), read.ref?.discarded != null));
  if (told === undefined) alike.set(name, { scope, size });
  return told;
}

/** Steps that have no commit, and the number to come. */
function compareOpen(sys: System, name: Name, { fold }: Read): Difference {
  const t = traceOf(sys, name);
  const open = fold.pending();
  return (
    differ(
      "steps without a commit",
      unsealed(t).map((s) => `${s.n} ${s.intent.facts.kind} ${s.outcome?.facts.status ?? "pending"}`),
      open.map((s) => `${s.n} ${s.intent.kind} ${s.outcome?.status ?? "pending"}`),
    ) ??
    differ("the next number", t.first + t.steps.length, fold.next()) ??
    differ(
      "attempts",
      pending(t).map((s) => `${s.n}: ${attempt(s)}`),
      open.filter((s) => !s.outcome).map((s) => `${s.n}: ${s.attempts}`),
    )
  );
}

/** What the logs alone give is what the owners have. */
export async function rebuilt(real: Real, sys: System, { readings }: Known): Promise<Difference> {
  for (const name of Object.keys(sys.scopes)) {
    if (isGone(sys, name)) continue;
    const { log, fold } = await readingOf(real, sys, name, readings);
    const ids = ({ sealed }: typeof fold): string[] => sealed.map((step) => step.sealed!.id);
    const told = differ(`${name}: commits from the log`, ids(fold), ids((await readFold(real.store, log)).fold));
    if (told) return told;
  }
  return undefined;
}
