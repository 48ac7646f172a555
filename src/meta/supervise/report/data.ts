/** What a report tells of supervised work, read from the logs: of the supervisor's run and of its workers. */
import { stepOf } from "../../../agent/watching.ts";
import { mainOf } from "../../../run/pattern.ts";
import { taskOf } from "../../../run/start.ts";
import { countChanges } from "../../../scope/changes.ts";
import { getBytes } from "../../../scope/thread.ts";
import { findStep, readScope, type View } from "../../../scope/view.ts";
import { target } from "../../../trace/bytes.ts";
import type { Json, Link } from "../../../trace/ports.ts";
import type { Step } from "../../../trace/seal.ts";
import type { EmbeddedStore } from "../../../trace/store.ts";
import type { HandBack } from "../ending.ts";
import type { Checked, MergedIn } from "../merging.ts";
import { type Finished, type Plan, SUPERVISE, type Taken, type Tick } from "../plan.ts";
import { type Spent, spentBy, together } from "../standing.ts";

/** A step of a worker, on the clock. */
export interface Moment {
  n: number;
  kind: string;
  status: string;
  /** ms since the epoch. */
  at: number;
}

export interface WorkerReport {
  name: string;
  task: string;
  agent: string;
  state: string;
  merged: string | null;
  handedBack: { conflict: number; check: number };
  steps: number;
  spent: Spent;
  changes: { files: number; added: number; removed: number };
  moments: Moment[];
}

export interface DecisionReport {
  at: number;
  worker: string;
  action: string;
  reason: string;
  guidance: string | null;
  /** Why it was not done; null where it was. */
  refused: string | null;
}

export interface VerdictReport {
  run: string;
  n: number;
  tool: string;
  input: string;
  decision: string;
  reason: string | null;
  at: number;
}

export interface Report {
  run: string;
  /** Of its first and its newest step, in ms since the epoch. */
  from: number;
  to: number;
  plan: Pick<Plan, "policy" | "check" | "every" | "guard" | "budget">;
  workers: WorkerReport[];
  ticks: Array<Pick<Tick, "at" | "news" | "waited" | "asked" | "model" | "spent">>;
  decisions: DecisionReport[];
  /** Calls that did not pass as they were, as the logs of the workers have them. */
  verdicts: VerdictReport[];
  /** How long calls were asked about, in ms. */
  judged: number[];
  merges: Array<{ worker: string; status: string; paths: string[] }>;
  checks: Array<{ code: number | null; tail: string }>;
  handedBack: Array<{ worker: string; cause: string; round: number; refused: string | null }>;
  spent: { workers: Spent; policy: Spent };
  /** Null while it goes on. */
  finished: Finished | null;
}

/** An effect of the supervisor's, as its log has it. */
interface Done {
  name: string;
  input: unknown;
  output: unknown;
  at: number;
}

export async function reportOf(store: EmbeddedStore, run: string): Promise<Report> {
  const view = await readScope(store, run);
  const plan = (await taskOf(store, run)).agent!.input as unknown as Plan;
  const done = await effectsOf(store, view);
  const of = <I, O>(name: string) => done.filter((each) => each.name === name) as Array<Done & { input: I; output: O }>;
  const finished = (of<null, Finished>("return").at(-1)?.output as Finished | undefined) ?? null;
  const ticks = of<unknown, Tick>("tick").map(({ output }) => output);
  const started = of<null, string[]>("start").at(-1)?.output ?? [];
  const names = [...started, ...plan.runs.map(({ name }) => name)];
  const handBacks = of<HandBack, { refused: string | null }>("handBack");
  const workers = await Promise.all(names.map((name) => workerOf(store, name, finished, handBacks)));
  const times = [...view.fold.steps.values()].flatMap(({ at, outcomeWitness }) =>
    typeof outcomeWitness.at === "number" ? [at, outcomeWitness.at] : [at],
  );
  return {
    run,
    from: Math.min(...times),
    to: Math.max(...times),
    plan,
    workers,
    ticks: ticks.map(({ at, news, waited, asked, model, spent }) => ({ at, news, waited, asked, model, spent })),
    decisions: of<Taken, { refused: string | null }>("act").map(({ at, input: { decision }, output }) => ({
      at,
      worker: decision.worker,
      action: decision.action,
      reason: decision.reason,
      guidance: "guidance" in decision ? (decision.guidance ?? null) : null,
      refused: output.refused,
    })),
    verdicts: (await Promise.all(names.map((name) => verdictsOf(store, name)))).flat().sort((a, b) => a.at - b.at),
    judged: ticks.flatMap(({ verdicts, passed }) => [...verdicts.map(({ ms }) => ms), ...passed]),
    merges: of<{ worker: string }, MergedIn>("merge").map(({ input, output }) => ({
      worker: input.worker,
      status: output.status,
      paths: output.conflicts.map(({ path }) => path),
    })),
    checks: of<unknown, Checked>("check").map(({ output }) => ({ code: output.code, tail: output.tail })),
    handedBack: handBacks.map(({ input, output }) => ({
      worker: input.worker,
      cause: input.cause,
      round: input.round,
      refused: output.refused,
    })),
    spent: {
      workers: together(workers.map(({ spent }) => spent)),
      policy: together(ticks.map(({ spent }) => spent)),
    },
    finished,
  };
}

async function effectsOf(store: EmbeddedStore, { fold }: View): Promise<Done[]> {
  const found: Done[] = [];
  for (const step of fold.steps.values()) {
    if (step.intent.kind !== "effect" || step.outcome?.status !== "done") continue;
    const shown = await stepOf(store, step);
    if (shown.kind === "effect")
      found.push({ name: shown.name, input: shown.input, output: shown.output, at: shown.at });
  }
  return found;
}

/** So much of what a call is about is told, in characters. */
const LONGEST = 300;

/** What the gate of a supervisor said no to, or changed. */
async function verdictsOf(store: EmbeddedStore, run: string): Promise<VerdictReport[]> {
  const { log, fold } = await readScope(store, run);
  const found: VerdictReport[] = [];
  for await (const { phase, n, facts } of store.logs.read(log)) {
    if (phase !== "note" || n === null || facts.note !== "gate" || facts.gate !== SUPERVISE) continue;
    const { decision, why } = facts;
    if (decision !== "deny" && decision !== "rewrite") continue;
    const step = fold.steps.get(n)!;
    const shown = await stepOf(store, step);
    const [tool, input] = "name" in shown ? [shown.name, shown.input as Json] : [shown.kind, null];
    found.push({
      ...{ run, n, tool, decision, at: step.at },
      input: (mainOf(input)?.text ?? JSON.stringify(input)).slice(0, LONGEST).toWellFormed(),
      reason: typeof why === "string" ? (await getBytes(store, why as Link)).toString() : null,
    });
  }
  return found;
}

const momentOf = ({ n, intent, outcome, outcomeWitness, at }: Step): Moment => ({
  n,
  kind: intent.kind,
  status: outcome?.status ?? "intent",
  at: typeof outcomeWitness.at === "number" ? outcomeWitness.at : at,
});

async function workerOf(
  store: EmbeddedStore,
  name: string,
  finished: Finished | null,
  handBacks: ReadonlyArray<{ input: HandBack; output: { refused: string | null } }>,
): Promise<WorkerReport> {
  const view = await readScope(store, name);
  const { fold } = view;
  const task = await taskOf(store, name);
  const ended = finished?.workers.find((each) => each.name === name);
  const given = (cause: string): number =>
    handBacks.filter(({ input, output }) => input.worker === name && input.cause === cause && output.refused === null)
      .length;
  const first = await findStep(store, view, 0);
  const head = fold.head().state;
  const base = first?.step.sealed ? target(first.step.sealed.state.roots.workspace) : null;
  return {
    name,
    task: task.text,
    agent: task.plugin?.name ?? (task.worker === "agent" ? (task.model ?? "agent") : task.worker),
    state: ended?.state ?? String(fold.notes.get("run")?.facts.ending ?? "at work"),
    merged: ended?.merged ?? null,
    handedBack: { conflict: given("conflict"), check: given("check") },
    steps: fold.steps.size,
    spent: spentBy(fold.steps.values()),
    changes: await countChanges(store, base, head ? target(head.roots.workspace) : base),
    moments: [...fold.steps.values()].map(momentOf),
  };
}
