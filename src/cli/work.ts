/** Who works in a run that the command line drives: the built-in agent, a command, or a coding agent. */
import { type AgentEnd, runAgent } from "../agent/loop.ts";
import { withServers } from "../agent/mcp/client.ts";
import { readServers } from "../agent/mcp/config.ts";
import { openModel, optionsIn } from "../agent/models.ts";
import { resumeAgent } from "../agent/resume.ts";
import { BUILTIN } from "../agent/tools/builtin.ts";
import { commandWorker } from "../run/command.ts";
import type { Worker } from "../run/drive.ts";
import type { Said } from "../run/inject.ts";
import type { Task } from "../run/start.ts";
import { workspacePath } from "../scope/registry.ts";
import type { Session } from "../trace/ports.ts";
import type { AgentBudget } from "./budget.ts";
import type { Coding } from "./coding.ts";
import { Exit, explain } from "./errors.ts";
import type { FollowLive } from "./landing.ts";
import type { Launch } from "./launch.ts";

/** What a worker stopped on. */
export interface Failure {
  error: string | null;
  /** Whether it was the host or the store, and not the work. */
  unfit: boolean;
}

export interface ResumeOptions {
  instruction?: string;
  open?: "perform" | "drop";
  model?: string;
  budget?: AgentBudget;
}

export interface Going extends ResumeOptions {
  resumed: boolean;
  /** What counts of all that was said of its budget. */
  held?: AgentBudget;
  /** For a new run: its conversation, when its tools can run, and when its first step is sealed. */
  start?: { session: Session; ready: Promise<void>; placed: Promise<void> };
  live?: FollowLive;
}

/** Work that begins once tools can run. */
const started =
  (going: Going, work: Worker["work"]): Worker["work"] =>
  // What it starts with is known by then.
  async (scope, signal, ...rest) => {
    const { start } = going;
    await start?.ready;
    // Where its files cannot be read to the end, nothing of what it does could be kept.
    const failed = new AbortController();
    start?.placed.catch((error) => failed.abort(error));
    const ending = await work(scope, AbortSignal.any([signal, failed.signal]), ...rest);
    if (failed.signal.aborted) throw failed.signal.reason;
    return ending;
  };

/** @param failure is told what it stopped on */
export function workerFor(launch: Launch, task: Task, failure: Failure, going: Going, coding: Coding | null): Worker {
  const { out } = launch;
  if (task.worker === "command") {
    const quiet = out.json || launch.several;
    const worker = commandWorker(task.argv ?? [], {
      at: task.at,
      interactive: !quiet && out.terminal && process.stdin.isTTY === true,
      // Through a pipe it is the command's; several cannot share it.
      ownStdin: out.attached && !launch.several && process.stdin.isTTY !== true,
      onOutput: (chunk, stream) => {
        if (!quiet) process[stream].write(chunk);
      },
    });
    return { ...worker, work: started(going, worker.work) };
  }
  if (coding) {
    const typed = coding.interactive ? null : task.text;
    const prompt = going.resumed ? (going.instruction ?? null) : typed;
    let worker: Worker | null = null;
    return {
      name: coding.name,
      hears: true,
      work: started(going, async (scope, ...args) => {
        worker ??= coding.worker(await workspacePath(launch.store, scope.ref.log), prompt, going.open);
        return worker.work(scope, ...args);
      }),
    };
  }
  if (!task.model) throw new Exit(2, "Which model? Add --model MODEL, as --model haiku.");
  const model = openModel(task.model, optionsIn(launch.store));
  const servers = readServers(task.mcp ?? []);
  let first = true;
  return {
    name: "agent",
    hears: true,
    work: async (scope, signal, restarted, control) => {
      const fresh = first && !going.resumed && !restarted;
      // Whoever reaches its services need not wait for the model. What fails there fails its next call.
      if (!fresh && scope.files?.services.length) await scope.files.sandbox().catch(() => {});
      const inbox = async (ending: boolean): Promise<Said[]> => {
        if (!ending || control.inbox.waiting().length > 0) await control.unpaused(signal).catch(() => {});
        if (signal.aborted) return [];
        // Where it is done, nothing is to be told of what lands.
        const live = ending ? [] : (going.live?.inbox() ?? []);
        return [...live.map((text) => ({ text })), ...(await control.inbox.read())];
      };
      const maxMs = going.held?.ms;
      const about = { model, signal, at: task.at, inbox, ...(maxMs !== undefined && { maxMs }) };
      // Servers are programs, which run where the files are.
      if (servers.length > 0) await going.start?.ready;
      const end = await withServers(scope, servers, signal, (given) => {
        const options = { ...about, ...(given.length > 0 && { tools: [...BUILTIN, ...given] }) };
        if (fresh) return runAgent(scope, { ...options, ...(going.start && { start: going.start }) });
        return resumeAgent(scope, {
          ...options,
          ...(first && going.instruction !== undefined && { instruction: going.instruction }),
          ...(first && going.open && { open: going.open }),
        });
      }).catch((error: Error): AgentEnd => ({ stopped: signal.aborted ? "aborted" : "error", error }));
      first = false;
      if (end.error && end.stopped !== "aborted") {
        const { code, message } = explain(end.error);
        failure.error = message;
        failure.unfit = code === 4;
      }
      return end.stopped === "limit" ? "failed" : end.stopped;
    },
  };
}
