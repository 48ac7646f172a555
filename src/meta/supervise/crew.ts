/**
 * The workers of a supervisor as this process has them: their logs as they grow, the processes that drive them, the gates before their calls. All of
 * it can be made anew from what is written down; nothing here is known only here.
 */
import type { RunState } from "../../run/lifecycle.ts";
import type { Frame } from "../../trace/frame.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { type Asked, type Judged, openGates, type Verdict } from "./gates.ts";
import { openKeeper } from "./keeper.ts";
import { NOTHING_SPENT, type Spent, type Standing, spentBy, standingOf, together } from "./standing.ts";
import { matters, openTails, type Tail, waits } from "./tails.ts";
import { type Base, isOwn } from "./workers.ts";

export interface CrewOptions {
  store: EmbeddedStore;
  base: Base;
  /** What gates ask and are told as; null: none is set. */
  gate: { params: { [key: string]: string }; judge(asked: Asked): Promise<Judged> } | null;
  /** Told of what happens, at once. */
  tell(event: CrewEvent): void;
}

export type CrewEvent =
  | { event: "worker"; worker: string; state: RunState; steps: number; words: string }
  | { event: "verdict"; verdict: Verdict };

export interface Crew {
  /** Sees to these runs from now on. */
  enter(runs: readonly string[]): Promise<Tail[]>;
  /** What has come up to here is known: of each run the sequence number behind it. */
  know(seen: { [run: string]: number }): void;
  /** Waits for news of these runs, `every` ms at most, and for what comes within `settle` ms behind them. */
  news(runs: readonly string[], wait: { every: number; settle: number; signal: AbortSignal }): Promise<News>;
  /** How runs stand. Starts a process for each that is to go on and that nobody drives. */
  standing(runs: readonly string[]): Promise<Map<string, Standing>>;
  /** Verdicts since this was asked for last. */
  verdicts(): Verdict[];
  spent(runs: readonly string[]): Spent;
  /** What the last process of a run that could not go on has said. */
  words(run: string): string;
  /** Stops those that the supervisor has started, as a Ctrl-C does. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

export interface News {
  /** Frames that say something. */
  count: number;
  /** When the first of them was read here; null without any. */
  first: number | null;
  seen: { [run: string]: number };
}

/** So often a process is started for a run that gets no further. */
const TRIES = 3;

export async function openCrew({ store, base, gate, tell }: CrewOptions): Promise<Crew> {
  const tails = openTails(store);
  const own = new Map<string, boolean>();
  const seen: { [run: string]: number } = {};
  const tries = new Map<string, { sealed: number; count: number }>();
  const told = new Map<string, string>();
  const said: Verdict[] = [];
  let fresh: Array<{ run: string; seq: number; at: number }> = [];
  let wake = (): void => {};
  const keeper = openKeeper(store, () => wake());
  const gates =
    gate &&
    openGates({
      store,
      params: gate.params,
      judge: gate.judge,
      judged: (verdict) => {
        said.push(verdict);
        tell({ event: "verdict", verdict });
        wake();
      },
    });
  const tellState = (tail: Tail, state: RunState): void => {
    const words = state === "failed" || state === "error" || state === "interrupted" ? keeper.words(tail.name) : "";
    const key = `${state} ${tail.fold.sealed.length}`;
    if (told.get(tail.name) === key) return;
    told.set(tail.name, key);
    tell({ event: "worker", worker: tail.name, state, steps: tail.fold.sealed.length, words });
  };

  tails.hear(({ tail, frame, at }) => {
    const begins = frame.phase === "note" && frame.facts.note === "run" && frame.facts.state === "started";
    // A run that waits is asked about at once.
    if (begins || waits(frame)) gates?.ensure(tail);
    const state = stateIn(frame);
    if (state !== null && frame.seq >= (seen[tail.name] ?? 0)) tellState(tail, state);
    if (!matters(frame) || frame.seq < (seen[tail.name] ?? 0)) return;
    fresh.push({ run: tail.name, seq: frame.seq, at });
    wake();
  });

  const crew: Crew = {
    enter: async (runs) => {
      const entered: Tail[] = [];
      for (const run of runs) {
        entered.push(await tails.add(run));
        if (!own.has(run)) own.set(run, await isOwn(store, base, run));
      }
      return entered;
    },
    know: (known) => {
      for (const [run, seq] of Object.entries(known)) seen[run] = Math.max(seen[run] ?? 0, seq);
      fresh = fresh.filter(({ run, seq }) => seq >= (seen[run] ?? 0));
    },
    news: async (runs, { every, settle, signal }) => {
      const until = Date.now() + every;
      const of = (): typeof fresh => fresh.filter(({ run }) => runs.includes(run));
      for (;;) {
        signal.throwIfAborted();
        const [first] = of();
        const at = first || said.length > 0 ? Math.min(until, (first?.at ?? Date.now()) + settle) : until;
        const left = at - Date.now();
        if (left <= 0) break;
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, Math.min(left, LOOK));
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
          signal.addEventListener("abort", wake, { once: true });
        }).finally(() => signal.removeEventListener("abort", wake));
        if (await ended(runs)) break;
      }
      await tails.caughtUp();
      const came = of();
      return {
        count: came.length,
        first: came[0]?.at ?? null,
        seen: Object.fromEntries(runs.map((run) => [run, tails.get(run)!.seq])),
      };
    },
    standing: async (runs) => {
      await tails.caughtUp();
      const found = new Map<string, Standing>();
      for (const run of runs) {
        const tail = tails.get(run)!;
        let standing = await standingOf(store, tail, own.get(run) ?? false);
        if (standing.driven) gates?.ensure(tail);
        else if (!standing.over && !(await goOn(tail))) standing = { ...standing, over: true };
        if (!standing.driven) tellState(tail, standing.state);
        found.set(run, standing);
      }
      return found;
    },
    verdicts: () => said.splice(0),
    spent: (runs) => together(runs.map((run) => spentBy(tails.get(run)?.fold.steps.values() ?? []) ?? NOTHING_SPENT)),
    words: keeper.words,
    stop: async () => {
      gates?.close();
      await keeper.stop([...own].filter(([, is]) => is).map(([run]) => run));
    },
    close: async () => {
      gates?.close();
      await tails.close();
    },
  };

  /** Whether none of these runs is at work: then nothing comes that was worth waiting for. */
  async function ended(runs: readonly string[]): Promise<boolean> {
    for (const run of runs) {
      const last = tails.get(run)!.fold.notes.get("run")?.facts;
      if (last?.state !== "ended") return false;
    }
    const all = await crew.standing(runs);
    return [...all.values()].every(({ over }) => over);
  }

  /** Starts a process that goes on with a run. False where that was tried too often and came to nothing. */
  async function goOn(tail: Tail): Promise<boolean> {
    const sealed = tail.fold.sealed.length;
    const known = tries.get(tail.name);
    const count = known?.sealed === sealed ? known.count : 0;
    if (count >= TRIES) return keeper.busy(tail.name);
    if (await keeper.ensure(tail.name)) tries.set(tail.name, { sealed, count: count + 1 });
    return true;
  }
  return crew;
}

/** How a run stands from a frame of its log on; null where that says nothing of it. */
function stateIn({ phase, facts }: Frame): RunState | null {
  if (phase !== "note" || facts.note !== "run") return null;
  if (facts.state === "ended") return facts.ending as RunState;
  return facts.state === "paused" ? "paused" : "running";
}

/** So often it is looked anew whether a process is gone that said nothing, in ms. */
const LOOK = 500;
