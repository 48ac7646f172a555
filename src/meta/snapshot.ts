/**
 * How a run stands, in little: enough for a supervisor of many to see which needs a look. A fold over the frames of its log, which goes on from where it
 * was: looking again costs what is new.
 */

import type { Step } from "../agent/run.ts";
import { stepOf } from "../agent/watching.ts";
import { stateOf } from "../run/lifecycle.ts";
import { taskOf } from "../run/start.ts";
import { findScope } from "../scope/registry.ts";
import { readLog, type View } from "../scope/view.ts";
import { target } from "../trace/bytes.ts";
import type { Step as Recorded } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { diffTrees } from "../world/diff.ts";
import { quotePath } from "../world/paths.ts";
import { cut } from "./quote.ts";

/** Bounds, in characters and numbers. */
const MOST = { task: 350, error: 150, target: 80, calls: 25, paths: 40, path: 120, all: 1150 };

export interface Call {
  readonly n: number;
  readonly name: string;
  readonly status: string;
  /** A path, a command: what it was about. */
  readonly target: string;
  readonly error: string | null;
}

export interface Snapshot {
  readonly run: string;
  readonly state: string;
  readonly task: string;
  /** Number of its newest sealed step, to name in `expect`. */
  readonly head: number | null;
  readonly steps: number;
  /** Failed, denied or cut, one behind the other, up to now. */
  readonly errors: number;
  /** Paths that it has changed since it began. */
  readonly changed: readonly string[];
  /** How many there are beyond these. */
  readonly more: number;
  /** Its newest call or message, and how long ago that began, in ms. */
  readonly last: (Call & { readonly ms: number }) | null;
  /** Its newest calls, oldest first. */
  readonly calls: readonly Call[];
  /** What is under way. */
  readonly open: readonly Call[];
  /** Numbers of the steps that wait for somebody at a gate. */
  readonly waits: readonly number[];
}

/** What a look has seen, for the next one. */
export interface Seen {
  /** Calls by number; those without an outcome are looked at again. */
  readonly calls: ReadonlyMap<number, Call>;
  readonly base: string | null;
  readonly changed: { readonly tree: string; readonly paths: readonly string[] } | null;
}

const NONE: Seen = { calls: new Map(), base: null, changed: null };
const BAD: readonly string[] = ["failed", "denied", "cut", "conflict"];
const isCall = ({ intent }: Recorded): boolean =>
  intent.kind === "tool" || intent.kind === "effect" || intent.kind === "command";

/** Looks at a run. `seen` is what an earlier look has given with it. */
export async function look(
  store: EmbeddedStore,
  name: string,
  seen: Seen = NONE,
  now = Date.now(),
): Promise<{ snapshot: Snapshot; seen: Seen }> {
  const ref = await findScope(store, name);
  if (!ref) throw new Error(`There is no run ${name}.`);
  const view = await readLog(store, ref.log, ref);
  const { fold } = view;
  const all = [...fold.steps.values()];
  const calls = new Map<number, Call>();
  for (const step of all.filter((each) => isCall(each) || each.intent.kind === "model").slice(-MOST.calls * 2)) {
    const known = seen.calls.get(step.n);
    calls.set(step.n, known && known.status !== "intent" ? known : await callOf(store, step));
  }
  const told = [...calls.values()];
  const changed = await changedIn(store, view, seen.changed);
  const { state } = await stateOf(store, view);
  const waiting = fold.notes.get("waiting")?.facts.steps;
  const ended = all.filter(({ outcome }) => outcome).map(({ outcome }) => outcome!.status);
  const last = told.at(-1);
  const task = await taskOf(store, name).then(
    ({ text }) => text,
    () => "",
  );
  const own = all.filter(isCall).map(({ n }) => n);
  return {
    seen: { calls, base: seen.base, changed },
    snapshot: {
      run: name,
      state,
      task: cut(task, MOST.task),
      head: fold.head().id === null ? null : fold.head().n,
      steps: all.length,
      errors: ended.length - 1 - ended.findLastIndex((status) => !BAD.includes(status)),
      changed: changed.paths.slice(0, MOST.paths),
      more: Math.max(0, changed.paths.length - MOST.paths),
      last: last ? { ...last, ms: Math.max(0, now - fold.steps.get(last.n)!.at) } : null,
      calls: told.filter(({ n }) => own.includes(n)).slice(-MOST.calls),
      open: told.filter(({ status }) => status === "intent"),
      waits: state === "waiting" && Array.isArray(waiting) ? (waiting as number[]) : [],
    },
  };
}

/** What a run has changed: told anew only where its files are others than at the last look. */
async function changedIn(
  store: EmbeddedStore,
  { fold }: View,
  known: Seen["changed"],
): Promise<{ tree: string; paths: readonly string[] }> {
  const { header, sealed } = fold;
  const base = header.origin?.state.roots.workspace ?? sealed[0]?.sealed?.state.roots.workspace;
  const tree = fold.head().state?.roots.workspace;
  if (!base || !tree) return { tree: "", paths: [] };
  if (known?.tree === tree) return known;
  const paths: string[] = [];
  for await (const { path, after, before } of diffTrees(store.objects, target(base), target(tree)))
    if (after?.type !== "d" || before?.type !== "d") paths.push(cut(quotePath(path), MOST.path));
  return { tree, paths };
}

async function callOf(store: EmbeddedStore, step: Recorded): Promise<Call> {
  const shown = await stepOf(store, step).catch((): null => null);
  if (!shown) return { n: step.n, name: step.intent.kind, status: "unreadable", target: "", error: null };
  const failed = BAD.includes(shown.status);
  const text = "text" in shown ? shown.text : "";
  const error = shown.error ?? (failed ? text : null);
  return {
    n: shown.n,
    name: "name" in shown ? cut(shown.name, 40) : shown.kind,
    status: shown.status,
    target: cut(targetOf(shown), MOST.target),
    error: error === null || error === "" ? null : cut(error, MOST.error),
  };
}

/** What a step is about, in a word. */
function targetOf(step: Step): string {
  if (!("input" in step)) return "text" in step ? step.text : "";
  const { input } = step;
  if (typeof input !== "object" || input === null) return input === null || input === undefined ? "" : String(input);
  const of = input as { [name: string]: unknown };
  const main = of.command ?? of.cmd ?? of.path ?? of.file_path ?? of.filePath ?? of.pattern;
  return typeof main === "string" ? main : JSON.stringify(input);
}

/** A snapshot as text, of at most some thousand characters: ten of them are for one look. */
export function tellSnapshot(of: Snapshot): string {
  const head = [
    `${of.run} is ${of.state}${of.head === null ? "" : `, at step ${of.head}`}; ${of.steps} steps${of.errors > 0 ? `, the last ${of.errors} went wrong` : ""}.`,
    `task ${JSON.stringify(of.task)}`,
    ...(of.changed.length > 0 || of.more > 0 ? [`changed ${bounded(of.changed, of.more, 200)}`] : []),
    ...(of.last ? [`last ${lineOf(of.last)}, ${ageOf(of.last.ms)} ago`] : []),
    ...(of.waits.length > 0 ? [`waits at a gate before step ${of.waits.join(", ")}`] : []),
    ...of.open
      .filter(({ n }) => n !== of.last?.n)
      .slice(-3)
      .map((each) => `under way ${lineOf(each)}`),
  ];
  let room = MOST.all - head.join("\n").length;
  const lines: string[] = [];
  for (const call of [...of.calls].reverse()) {
    if (call.n === of.last?.n) continue;
    const line = lineOf(call, room < 300);
    if (line.length + 1 > room) break;
    room -= line.length + 1;
    lines.unshift(line);
  }
  return [...head, ...lines].join("\n").slice(0, MOST.all).toWellFormed();
}

const lineOf = ({ n, name, status, target: of, error }: Call, short = false): string => {
  const about = of === "" ? "" : ` ${JSON.stringify(short ? of.slice(0, 30).toWellFormed() : of)}`;
  return `${n} ${name} ${status}${about}${error === null ? "" : ` error ${JSON.stringify(short ? error.slice(0, 40).toWellFormed() : error)}`}`;
};

function bounded(paths: readonly string[], more: number, most: number): string {
  let text = "";
  for (const [at, path] of paths.entries()) {
    if (text.length + path.length > most) return `${text} and ${paths.length - at + more} more`;
    text += `${text === "" ? "" : " "}${path}`;
  }
  return more > 0 ? `${text} and ${more} more` : text;
}

const ageOf = (ms: number): string =>
  ms < 120_000
    ? `${Math.round(ms / 1000)} s`
    : ms < 7_200_000
      ? `${Math.round(ms / 60_000)} min`
      : `${Math.round(ms / 3_600_000)} h`;
