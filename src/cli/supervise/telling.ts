/** What is told of a supervisor while it works: a line for each worker that is drawn anew on a terminal, and a line for each thing that is decided. */

import { masked } from "../../meta/mask.ts";
import type { Plan, Told } from "../../meta/supervise/plan.ts";
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

export function telling(out: Output, _plan: Plan): Telling {
  const board = makeBoard(process.stdout, out.flush);
  const states = new Map<string, string>();
  let views: readonly WorkerView[] = [];
  const draw = (): void => {
    if (!out.json) board.set(views.map((view) => lineOf(view, out)));
  };
  const row = (
    event: string,
    worker: string | null,
    what: string,
    why: string | null = null,
    n: number | null = null,
  ) => {
    const made: Row = { event, worker, what, n, why: why === null ? null : masked(why), at: new Date().toISOString() };
    out.object(made);
    if (out.json) return;
    board.above(() => out.line(said(made, out)));
  };
  return {
    tell: (told) => {
      switch (told.event) {
        case "worker": {
          const { worker, state, steps, words } = told;
          if (states.get(worker) === state) return;
          states.set(worker, state);
          row("worker", worker, state, words === "" ? null : words, steps === 0 ? null : steps - 1);
          break;
        }
        case "look":
          views = told.views;
          draw();
          break;
        case "verdict": {
          const { run, n, tool, decision, reason } = told.verdict;
          if (decision !== "allow") row("verdict", run, `${decision} ${tool}`, reason, n);
          break;
        }
        case "acted": {
          const { decision } = told.taken;
          const refused = told.refused === null ? "" : ` (refused: ${told.refused})`;
          row("decision", decision.worker, decision.action, `${decision.reason}${refused}`);
          break;
        }
        case "merged":
          row("merge", told.worker, told.status, told.paths.length > 0 ? told.paths.join(", ") : null);
          break;
        case "check":
          row("check", null, told.code === 0 ? "passes" : "fails", told.code === 0 ? null : lastLine(told.tail));
          break;
        case "culprit":
          row(
            "culprit",
            told.worker,
            told.worker === null ? "unknown" : "found",
            `${told.probes} more runs of the check`,
          );
          break;
        case "handed-back":
          row("handed-back", told.worker, told.cause, `round ${told.round}`);
          break;
        case "tick":
          break;
      }
    },
    end: () => board.end(),
  };
}

const lastLine = (tail: string): string => tail.trimEnd().split("\n").at(-1) ?? "";

function said({ event, worker, what, n, why }: Row, out: Output): string {
  const step = n === null ? "" : ` ${n}`;
  const words = `${(worker ?? "").padEnd(16)} ${event}${step} ${shown(what)}${why === null ? "" : `: ${shown(why)}`}`;
  return out.terminal ? clip(words.trim(), out.width - 1) : words.trim();
}

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
