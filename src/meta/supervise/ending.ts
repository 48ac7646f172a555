/** The end that the user asked for: all that is done is merged, the check is run, and what fails is handed back to one worker. */
import type { OutputOf } from "../../agent/schema.ts";
import { settleModels } from "../../agent/settle.ts";
import { cannot } from "../../run/control.ts";
import type { RunState } from "../../run/lifecycle.ts";
import { operate } from "../../run/operate.ts";
import { taskOf } from "../../run/start.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { type Again, again } from "./effects.ts";
import { conflictWords, failureWords } from "./evidence.ts";
import {
  bringTo,
  type Checked,
  type Checking,
  checkIn,
  commonScope,
  conflictsWith,
  culpritOf,
  type MergedIn,
  mergeIn,
} from "./merging.ts";
import type { Finished, Told } from "./plan.ts";
import { baseOf } from "./workers.ts";

/** So often a worker is handed its work back for one cause. */
const ROUNDS = 2;

type Merge = { worker: string; n: number };
type Check = { into: string } & Checking;
export interface HandBack {
  worker: string;
  into: string;
  cause: "conflict" | "check";
  round: number;
  /** Of a check that fails. */
  failed: { check: string; code: number | null; tail: string; alone: boolean } | null;
}

export type EndingEffects = {
  common: Again<{ check: string | null }, string>;
  merge: Again<{ worker: string; into: string }, MergedIn>;
  check: Again<Check, Checked>;
  culprit: Again<Check & { merges: Merge[] }, { worker: string | null; probes: number }>;
  handBack: Again<HandBack, { refused: string | null }>;
};

/** @param self name of the supervisor's run, once it has one */
export function endingEffects(store: EmbeddedStore, self: () => string, tell: (event: Told) => void): EndingEffects {
  const by = (right: string, why: string) => ({ by: self(), right, why });
  return {
    common: again(async ({ check }) => commonScope(store, await baseOf(store, self()), self(), check)),
    merge: again(async ({ worker, into }) => {
      const merged = await mergeIn(store, into, worker, by("merge", "the user asked for the work of all together"));
      tell({ event: "merged", worker, into, status: merged.status, paths: merged.conflicts.map(({ path }) => path) });
      return merged;
    }),
    check: again(async ({ into, ...check }, { signal }) => {
      const checked = await checkIn(store, into, check, signal);
      tell({ event: "check", into, code: checked.code, tail: checked.tail });
      return checked;
    }),
    culprit: again(async ({ into, merges, ...check }, { signal }) => {
      const found = await culpritOf(store, into, merges, check, signal);
      tell({ event: "culprit", ...found });
      return found;
    }),
    handBack: again(async ({ worker, into, cause, round, failed }, { key }) => {
      const refused = cannot(await taskOf(store, worker), "inject", worker);
      if (refused !== null) return { refused };
      const text = failed
        ? failureWords(failed.check, failed.code, failed.tail, failed.alone)
        : await conflictWords(store, await conflictsWith(store, into, worker));
      const why = cause === "conflict" ? "its work conflicts with what is merged" : "the check fails with its work";
      // Said before the files come, and once: who is killed between finds the words, and brings the files.
      const said = { id: key.slice(0, 32), text, ...by("inject", why) };
      await operate(store, worker, "inject", said, { settle: settleModels });
      await bringTo(store, into, worker, by("sync", why));
      tell({ event: "handed-back", worker, cause, round });
      return { refused: null };
    }),
  };
}

type Does = { [K in keyof EndingEffects]: (input: never) => Promise<unknown> } & {
  common(input: { check: string | null }): Promise<string>;
  merge(input: { worker: string; into: string }): Promise<OutputOf<EndingEffects["merge"]["output"]>>;
  check(input: Check): Promise<Checked>;
  culprit(input: Check & { merges: Merge[] }): Promise<{ worker: string | null }>;
  handBack(input: HandBack): Promise<{ refused: string | null }>;
};

/**
 * A part of the supervisor's body: what it does follows from recorded outcomes alone.
 * @param states how the workers stand, in the order in which they are merged; kept up to date by `watch`
 * @param watch looks after these until nothing comes of them any more
 */
export async function finish(
  does: Does,
  states: ReadonlyMap<string, RunState>,
  watch: (workers: string[]) => Promise<void>,
  { check, at }: { check: string | null; at: string | null },
): Promise<Finished> {
  const names = [...states.keys()];
  const rounds = new Map(names.map((name) => [name, { conflict: 0, check: 0 }]));
  const merged = new Map<string, Finished["workers"][number]["merged"]>(names.map((name) => [name, "left"]));
  const merges: Merge[] = [];
  const isDone = (name: string): boolean => states.get(name) === "done";
  const end = (into: string | null, checked: Finished["check"]): Finished => ({
    into,
    workers: names.map((name) => ({
      name,
      state: states.get(name)!,
      merged: merged.get(name)!,
      handedBack: rounds.get(name)!,
    })),
    check: checked,
    ok:
      names.every((name) => ["done", "nothing"].includes(merged.get(name)!)) &&
      (checked === null || checked.code === 0),
  });
  if (!names.some(isDone)) return end(null, null);
  const into = await does.common({ check });

  /** Hands a worker its work back, and waits for what it makes of that. Whether it could be, and it is done again. */
  const handBack = async (
    worker: string,
    cause: "conflict" | "check",
    failed: HandBack["failed"],
  ): Promise<boolean> => {
    const count = rounds.get(worker)!;
    if (count[cause] >= ROUNDS) return false;
    const { refused } = await does.handBack({ worker, into, cause, round: count[cause] + 1, failed });
    if (refused !== null) return false;
    count[cause]++;
    await watch([worker]);
    return isDone(worker);
  };
  const mergeOne = async (worker: string): Promise<void> => {
    for (;;) {
      const { status, n } = await does.merge({ worker, into });
      merged.set(worker, status);
      if (status === "done" && n !== null) merges.push({ worker, n });
      if (status !== "conflict" || !(await handBack(worker, "conflict", null))) return;
    }
  };
  for (const worker of names) if (isDone(worker)) await mergeOne(worker);
  if (check === null) return end(into, null);
  for (;;) {
    const checked = await does.check({ into, check, at });
    const stands = { code: checked.code, n: checked.n };
    if (checked.code === 0 || merges.length === 0) return end(into, stands);
    const workers = new Set(merges.map(({ worker }) => worker));
    const { worker } = workers.size > 1 ? await does.culprit({ into, check, at, merges }) : merges[0]!;
    // Where it failed before all of them, the one that came last has the work of all.
    const whose = worker ?? merges.at(-1)!.worker;
    const { code, tail } = checked;
    if (!(await handBack(whose, "check", { check, code, tail, alone: workers.size === 1 }))) return end(into, stands);
    await mergeOne(whose);
  }
}
