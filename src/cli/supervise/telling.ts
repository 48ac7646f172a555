/** What is told of a supervisor while it works: a line for each worker that is drawn anew on a terminal, and a line for each thing that is decided. */

import { masked } from "../../meta/mask.ts";
import type { Told } from "../../meta/supervise/plan.ts";
import type { WorkerView } from "../../meta/supervise/view.ts";
import { clip, type Output, plain } from "../output.ts";
import { type Line, makeBoard } from "./board.ts";

export interface Telling {
  tell(told: Told): void;
  end(): void;
}

/** An event as a row of --json. */
interface Row {
  event: string;
  worker: string | null;
  what: string;
  n: number | null;
  why: string | null;
  at: string;
}

/** What looks like a credential is masked; what a terminal would obey is shown. */
const shown = (text: string): string => plain(masked(text));

export function telling(out: Output): Telling {
  const board = makeBoard(process.stdout, out.flush);
  const states = new Map<string, string>();
  const tell = (row: Omit<Row, "at">, words: string | null): void => {
    out.object({ ...row, why: row.why && masked(row.why), at: new Date().toISOString() });
    if (out.json || words === null) return;
    const line = `${clip(row.worker ?? "", 16).padEnd(16)} ${shown(words)}`;
    board.above(() => out.line(out.terminal ? clip(line, out.width - 1) : line));
  };
  const about = (words: string | null): string => (words === null || words === "" ? "" : `: ${words}`);
  return {
    tell: (told) => {
      switch (told.event) {
        case "worker": {
          const { worker, state, steps, words } = told;
          if (states.get(worker) === state) return;
          states.set(worker, state);
          const row = { event: "worker", worker, what: state, n: null, why: words || null };
          // On a terminal the line of the worker says it.
          const seen = state === "idle" || (out.terminal && state === "running");
          tell(row, seen ? null : `${state}${steps > 1 ? `, ${steps} steps` : ""}${about(words)}`);
          break;
        }
        case "look":
          if (!out.json) board.set(told.views.map((view) => lineOf(view, out)));
          break;
        case "verdict": {
          const { run: worker, n, tool, decision, reason: why } = told.verdict;
          if (decision === "allow") return;
          const did = decision === "deny" ? "denied" : "changed";
          tell({ event: "verdict", worker, what: decision, n, why }, `${did} step ${n}, ${tool}${about(why)}`);
          break;
        }
        case "acted": {
          const { worker, action, reason } = told.taken.decision;
          const why = `${reason}${told.refused === null ? "" : ` (refused: ${told.refused})`}`;
          tell({ event: "decision", worker, what: action, n: null, why }, `${action}${about(why)}`);
          break;
        }
        case "merged": {
          const { worker, status: what } = told;
          const why = told.paths.length > 0 ? told.paths.join(", ") : null;
          const word = { done: "merged", nothing: "nothing to merge" }[what] ?? what;
          tell({ event: "merge", worker, what, n: null, why }, `${word}${about(why)}`);
          break;
        }
        case "check": {
          const what = told.code === 0 ? "passes" : "fails";
          const why = told.code === 0 ? null : lastLine(told.tail);
          tell({ event: "check", worker: null, what, n: null, why }, `the check ${what}${about(why)}`);
          break;
        }
        case "culprit": {
          const { worker, probes } = told;
          const what = worker === null ? "unknown" : "found";
          const words = worker === null ? "nobody's merge alone made the check fail" : "its merge made the check fail";
          tell({ event: "culprit", worker, what, n: null, why: `${probes} more runs of the check` }, words);
          break;
        }
        case "handed-back": {
          const { worker, cause: what, round } = told;
          const words = `handed back, since ${what === "conflict" ? "it conflicts" : "the check fails"} (round ${round})`;
          tell({ event: "handed-back", worker, what, n: null, why: `round ${round}` }, words);
          break;
        }
        case "tick":
          break;
      }
    },
    end: () => board.end(),
  };
}

const lastLine = (tail: string): string => tail.trimEnd().split("\n").at(-1) ?? "";

const STYLES: { [state: string]: Parameters<Output["style"]>[0] } = {
  running: "cyan",
  done: "green",
  failed: "red",
  error: "red",
  paused: "yellow",
  waiting: "yellow",
};

/** One worker on one line: its name, how it stands, how many steps it made, what it has spent, what it does. */
function lineOf({ name, state, steps, spent, modified, last }: WorkerView, out: Output): Line {
  const cost = spent.usd > 0 ? `$${spent.usd.toFixed(2)}` : `${Math.round(spent.tokens / 1000)}k`;
  const fixed = `${clip(name, 16).padEnd(16)} ${state.padEnd(11)} ${String(steps).padStart(4)} ${cost.padStart(7)} ${String(modified.length).padStart(3)} files`;
  return { words: `${fixed}  ${shown(last?.action ?? "")}`, style: (text) => out.style(STYLES[state] ?? "dim", text) };
}
