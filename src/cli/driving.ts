/**
 * Driving a coding agent's run once more from its beginning, in a scope that is thrown away behind it: the agent itself works, gets the answers
 * that are on record, and nothing leaves.
 */
import { recordedAnswers, type Served } from "../gateway/answers.ts";
import { pluginNamed } from "../plugins/plugins.ts";
import { drive } from "../run/drive.ts";
import { type Ending, endOf } from "../run/lifecycle.ts";
import { scratchOf } from "../run/scratch.ts";
import type { Task } from "../run/start.ts";
import { detect } from "../scope/exec/abilities.ts";
import { grantsOf, type ScopeRef, workspacePath } from "../scope/registry.ts";
import { getItem, MAIN, openCalls, textOf } from "../scope/thread.ts";
import { cameThrough, type Found, readLog, readScope } from "../scope/view.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { openCoding } from "./coding.ts";
import { type Divergence, divergences } from "./diverge.ts";
import { Exit } from "./errors.ts";
import { filesFor, type Launch, taskOf } from "./launch.ts";

export interface Driven {
  ending: Ending;
  /** Steps of the agent that the run came through, and requests that got an answer of these. */
  steps: number;
  served: number;
  divergences: Divergence[];
}

/** Throws a sentence where that is no run of a coding agent, or where this machine has no network to keep it in. */
export async function driveAgain(launch: Omit<Launch, "land" | "several">, run: ScopeRef): Promise<Driven> {
  const { store, signal, out } = launch;
  const task = await taskOf(store, run.name);
  if (task.worker !== "plugin")
    throw new Exit(2, `--drive drives a coding agent once more, and ${run.name} is no run of one: leave --drive out.`);
  const { samePath, why } = await detect();
  if (!samePath) throw new Exit(4, `--drive needs a network of its own for the agent, so that nothing leaves. ${why}`);

  const view = await readScope(store, run.name);
  const path = (await cameThrough(store, view)).reverse();
  if (!path.some(({ step }) => step.n === 0 && step.intent.kind === "run"))
    throw new Exit(2, `${run.name} has not begun yet, so there is nothing to drive.`);
  const served: Served[] = [];
  const progress = out.progress();
  const sender = recordedAnswers(store, path, served);
  const coding = await openCoding(store, out, task, { sender, grants: await grantsOf(store, run.log) });
  try {
    const { name, log } = await scratchOf(store, run.name, 0, {
      suffix: "replay",
      grants: { network: "gateway", hosts: [], writable: [] },
    });
    const workspace = await workspacePath(store, run.log);
    const ending = await drive(store, name, {
      signal,
      // Nothing leaves the scope, and it is thrown away: nobody would ever come to be asked.
      guarded: false,
      files: filesFor(launch, progress, coding.agent),
      worker: {
        name: coding.name,
        work: async (driven, ...about) => {
          let ending: Ending = "done";
          for (const words of await toldBy(store, task, path)) {
            ending = await coding.worker(workspace, words).work(driven, ...about);
            if (ending !== "done") break;
          }
          return ending;
        },
      },
      prepared: async (driven) => {
        await coding.prepare(driven);
        const { state, carry } = driven.head();
        await driven.files!.restore(state!.roots.workspace, carry);
        driven.writer.watch((_frame, sealed) => {
          for (const { n } of sealed) progress.at(`${run.name} is driven again: step ${n} of ${path.at(-1)!.step.n}`);
        });
      },
    });
    // What did not come then says nothing.
    signal.throwIfAborted();
    const { fold } = await readLog(store, log);
    const byChance = pluginNamed(task.plugin!.name)?.byChance;
    const found = await divergences(store, path, { steps: fold.sealed, served }, byChance);
    const was = endOf(view);
    if ((was === "done" || was === "failed") && was !== ending)
      found.divergences.push({ n: null, kind: "status", what: `It ended as ${ending}, and the run as ${was}.` });
    return { ending, ...found };
  } finally {
    progress.done();
    await coding.close();
  }
}

/** What agents tell their models themselves. */
const MADE = /^<[a-z][\w-]*[^>]*>.*<\/[a-z][\w-]*>\s*$/s;

/** What it was told in turn: its task, and what was said behind each answer that ended its work. Null: as the run itself began. */
async function toldBy(store: EmbeddedStore, task: Task, path: readonly Found[]): Promise<Array<string | null>> {
  const told: Array<string | null> = task.plugin!.interactive ? [] : [null];
  let ended = told.length === 0;
  for (const { step } of path) {
    if ((step.intent.thread ?? MAIN) !== MAIN || step.outcome?.status !== "done") continue;
    if (step.intent.kind === "model")
      ended = step.outcome.result !== undefined && openCalls([await getItem(store, step.outcome.result)]).length === 0;
    else if (step.intent.kind === "message" && ended) {
      const { content } = await getItem(store, step.intent.what!);
      const words = textOf({ content: content.slice(-1) });
      if (words.trim() === "" || MADE.test(words)) continue;
      told.push(words);
      ended = false;
    }
  }
  return told;
}
