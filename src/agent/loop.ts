/** The built-in agent: asks a model, performs the calls of its answer, and so on until an answer asks for nothing. */

import type { Said } from "../run/inject.ts";
import { attemptedAgain } from "../scope/attempt.ts";
import type { LiveScope, Pending } from "../scope/scope.ts";
import { type Call, getBytes, getItem, type Item, itemsOf, MAIN, putItem, textOf } from "../scope/thread.ts";
import type { OutcomeFacts } from "../trace/frame.ts";
import type { Link, Session } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import { callEffect } from "./call.ts";
import { isFull, isSummary, putSummary, summaryIn, summaryThread, withoutCalls } from "./compact.ts";
import { followConversation } from "./conversation.ts";
import { type AgentEvent, listener } from "./events.ts";
import { mayHaveInstructions, tellInstructions } from "./instructions.ts";
import { tell } from "./message.ts";
import type { ModelPort, ToolSpec } from "./model.ts";
import { next } from "./next.ts";
import { recordRequest } from "./request.ts";
import { abandonModel, settleCalls, settleModel } from "./settle.ts";
import { lastTurnOver, stepsOf, turnOf, waiting } from "./steps.ts";
import { BUILTIN } from "./tools/builtin.ts";
import type { Tool } from "./tools/tool.ts";
import { pause, RETRY, type Retry, turnEffect } from "./turn.ts";

export const SYSTEM =
  "You work on the files of one directory, by the tools you are given. Commands run in a shell that keeps its directory, exported variables and functions from call to call. Do what you are asked, check that it works, and end with a short account of what you did.";

export interface AgentOptions {
  model: ModelPort;
  /** Default: `main`. */
  thread?: string;
  /** What the model is told before the conversation. The same text in each run, so that requests stay equal. */
  system?: string;
  /** Default: bash, read, write, edit, glob, grep. */
  tools?: readonly Tool[];
  /** Where the agent's shell starts, relative to the workspace; at its root without it. */
  at?: string | undefined;
  /** Whether it is told what AGENTS.md and CLAUDE.md say; by default, where it has tools of files. */
  instructions?: boolean;
  /** Ends the run: what runs is stopped and says so, what waits stays open. The run can be gone on with. */
  signal: AbortSignal;
  /** Model calls of this run at most; no limit without. */
  maxTurns?: number;
  /** How long it may work, in ms; then what runs is stopped, as by an abort. */
  maxMs?: number;
  retry?: Retry;
  onEvent?: (event: AgentEvent) => void;
  /**
   * Gives what the agent is to be told before it is asked again, each a step of its own; resolves when it may be asked. `ending`: it has nothing
   * more to do, and is done unless it is told something.
   */
  inbox?: (ending: boolean) => Promise<readonly Said[]>;
  /** For a run whose files are still being read: its conversation as it will be, and when the scope stands on them. */
  start?: { session: Session; placed: Promise<void> };
}

export interface AgentEnd {
  /**
   * `done`: the last message asks for nothing. `aborted`: by the signal. `limit`: by `maxTurns` or `maxMs`. `error`: the model cannot answer, or the
   * host or the store is unfit. After all but `done` the run can be gone on with.
   */
  stopped: "done" | "aborted" | "error" | "limit";
  /** Text of the last message of the assistant. */
  text?: string;
  error?: Error;
}

/**
 * Works until the conversation of a thread is finished; goes on from whatever state it is in, and performs its open calls first. What it
 * did is synced at return. Does not reject: what stopped it is in the result.
 */
export const runAgent = (scope: LiveScope, options: AgentOptions): Promise<AgentEnd> =>
  toItsEnd(scope, () => startRun(scope, options).work());

/** Runs `work` as an agent's run: its errors become the end, and all it wrote is synced. */
export async function toItsEnd(scope: LiveScope, work: () => Promise<AgentEnd>): Promise<AgentEnd> {
  const end = await work().catch((error: unknown): AgentEnd => ({ stopped: "error", error: asError(error) }));
  try {
    await scope.writer.sync();
    return end;
  } catch (error) {
    return { ...end, stopped: "error", error: end.error ?? asError(error) };
  }
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

/** An answer that ends so asks for nothing, and still does not end the work. */
const SHORT: { [stop: string]: string } = {
  length: "The model's last answer came to its limit of length before its end: it goes on when it is told to.",
  refused: "The model refused to answer.",
};

export interface Run {
  /** As `runAgent`; rejects where it cannot go on at all. */
  work(): Promise<AgentEnd>;
  /** Performs the open calls and nothing else. Gives the end if the run was stopped meanwhile. */
  performOpen(): Promise<AgentEnd | null>;
}

export function startRun(scope: LiveScope, options: AgentOptions): Run {
  const {
    model,
    thread = MAIN,
    system = SYSTEM,
    tools = BUILTIN,
    at,
    maxTurns = Number.POSITIVE_INFINITY,
    retry = RETRY,
    instructions = tools.some(({ name }) => name === "bash" || name === "read"),
  } = options;
  const { store } = scope;
  const { fold } = scope.writer;
  const emit = listener(options.onEvent);
  const specs: ToolSpec[] = tools.map(({ name, description, input }) => ({ name, description, input }));
  const conversation = followConversation(store);
  const session = (): Session | undefined => {
    const { state } = scope.head();
    return state ? state.threads[thread] : options.start?.session;
  };
  const head = (): Link | null => session()?.items ?? null;

  // Where something breaks in this process, what is under way is stopped as by an abort.
  const broken = new AbortController();
  const late = new AbortController();
  const signal = AbortSignal.any([options.signal, broken.signal, late.signal]);
  let failure: Error | null = null;
  const breakOff = (error: unknown): void => {
    if (signal.aborted && (error === signal.reason || (error as Error)?.name === "AbortError")) return;
    failure ??= asError(error);
    broken.abort(failure);
  };

  const running: Array<Promise<void>> = [];
  /** Follows a step to its end. Whatever keeps it from its outcome, other than an abort, breaks off the run. */
  const follow = (pending: Pending, ended: (outcome: OutcomeFacts) => Promise<void> | void): void => {
    running.push(pending.settled.then(({ outcome }) => ended(outcome)).catch(breakOff));
  };
  const allEnded = async (): Promise<void> => {
    while (running.length > 0) await Promise.all(running.splice(0));
  };

  const followCall = (pending: Pending, call: Call): void => {
    emit({ type: "call", n: pending.n, call });
    follow(pending, async (outcome) => {
      const result = outcome.threads?.[thread]?.append?.[0];
      const text = result ? textOf(await getItem(store, result), "") : "";
      emit({ type: "result", n: pending.n, call, status: outcome.status, text });
    });
  };
  const begin = async (call: Call, turn: number | undefined): Promise<void> => {
    const effect = await callEffect(scope, call, { thread, tools, at, ...(turn !== undefined && { turn }) });
    followCall(await scope.begin(effect, signal), call);
  };
  const again = async (step: Step, call: Call): Promise<void> => {
    const effect = await callEffect(scope, call, { thread, tools, at });
    const why = "the run was stopped before the call had its outcome";
    followCall(scope.again(step.n, attemptedAgain(scope, effect, why), signal), call);
  };

  /** Performs open calls: each as the step that it has, else as a new one. */
  const perform = async (calls: readonly Call[], items: readonly Item[]): Promise<void> => {
    try {
      const steps = await stepsOf(scope, thread, calls);
      const message = items.findLast((item) => item.role === "assistant")!;
      const turn = steps.size < calls.length ? await turnOf(scope, thread, await putItem(store, message)) : undefined;
      for (const call of calls) {
        const step = steps.get(call);
        if (!step) await begin(call, turn);
        else if (!step.outcome) await again(step, call);
      }
    } catch (error) {
      breakOff(error);
    }
    await allEnded();
  };

  /** The model step of a thread that waits for just this answer; others that wait for one are given up. */
  const takeUp = async (what: Link, of: string): Promise<Step | undefined> => {
    let found: Step | undefined;
    for (const step of waiting(fold, of, "model")) {
      if (!found && step.intent.what === what && step.intentSeq > lastTurnOver(fold)) found = step;
      else await abandonModel(scope, step);
    }
    return found;
  };

  /** Asks the model once, and waits until its answer and all of its calls have ended. Gives the outcome; null if it has none. */
  const ask = async (
    messages: readonly Item[],
    { port = model, of = thread, from = head() }: { port?: ModelPort; of?: string; from?: Link | null } = {},
  ): Promise<OutcomeFacts | null> => {
    const { name, params } = port;
    const request = { model: name, system, tools: specs, messages, ...(params && { params }) };
    const what = await recordRequest(store, request, from);
    const effect = turnEffect(scope, { thread: of, model: port, request, what, retry, emit, start: begin });
    const open = await takeUp(what, of);
    const why = "the run was stopped before the model answered";
    const pending = open
      ? scope.again(open.n, attemptedAgain(scope, effect, why), signal)
      : await scope.begin(effect, signal);
    emit({ type: "model", n: pending.n });
    follow(pending, () => {});
    await allEnded();
    const step = fold.steps.get(pending.n)!;
    // Aborted before it went out.
    if (!step.outcome && !failure) await abandonModel(scope, step);
    return step.outcome;
  };

  const end = (stopped: AgentEnd["stopped"], items: readonly Item[], error?: Error): AgentEnd => {
    const last = items.findLast((item) => item.role === "assistant");
    return { stopped, ...(last && { text: textOf(last, "") }), ...(error && { error }) };
  };
  const stopped = (items: readonly Item[]): AgentEnd | null => {
    if (failure) return end("error", items, failure);
    if (late.signal.aborted && !options.signal.aborted)
      return end("limit", items, new Error(`The time of ${options.maxMs! / 1000} s that it had is over.`));
    return signal.aborted ? end("aborted", items) : null;
  };

  const performOpen = async (): Promise<AgentEnd | null> => {
    const items = await conversation.read(session());
    const todo = next(items);
    if (todo.do === "perform" && !signal.aborted) await perform(todo.calls, items);
    return stopped(items);
  };

  const work = async (): Promise<AgentEnd> => {
    const timer = options.maxMs === undefined ? undefined : setTimeout(() => late.abort(), options.maxMs);
    try {
      return await workOn();
    } finally {
      clearTimeout(timer);
    }
  };

  const workOn = async (): Promise<AgentEnd> => {
    for (const step of waiting(fold, thread, "model")) await settleModel(scope, step);
    // A summary that was on its way is asked for anew where it is still needed.
    for (const step of fold.pending())
      if (!step.outcome && step.intent.kind === "model" && isSummary(step.intent.thread ?? MAIN))
        await abandonModel(scope, step);
    await settleCalls(scope, thread, "stale");
    let cuts = 0;
    let stop: OutcomeFacts["stop"];
    for (let turns = 0; ; ) {
      const from = head();
      const items = await conversation.read(session());
      const todo = next(items);
      if (todo.do === "stop" && !failure) {
        if (!signal.aborted && (await told(true))) continue;
        const short = typeof stop === "string" && Object.hasOwn(SHORT, stop) ? SHORT[stop] : undefined;
        return short ? end("error", items, new Error(short)) : end("done", items);
      }
      const halt = stopped(items);
      if (halt) return halt;
      let outcome: OutcomeFacts | null = null;
      if (todo.do === "perform") await perform(todo.calls, items);
      else if (await instructed(items)) continue;
      else if (isFull(fold, thread, items, model.context)) {
        const error = await compacted();
        if (error && !stopped(items)) return end("error", items, error);
        continue;
      } else if (await told(false)) continue;
      else if (signal.aborted) continue;
      else if (turns++ < maxTurns) outcome = await ask(items);
      else return end("limit", items);
      if (outcome) stop = outcome.stop;
      // The first answer may come before the scope has a commit; what follows builds on that.
      await options.start?.placed;
      if (head() !== from) cuts = 0;
      else if (outcome?.status === "cut" && ++cuts < retry.attempts) await pause(retry.delay(cuts), signal);
      else if (!stopped(items)) return end("error", items, await reasonOf(outcome));
    }
  };

  /** Sums the conversation up, and goes on from that. What kept it from that, if anything did. */
  const compacted = async (): Promise<Error | null> => {
    const of = await summaryThread(scope, thread);
    if ((await summaryIn(scope, of)) === null) {
      const asked = scope.head().state!.threads[of];
      const from = asked?.items ?? null;
      const outcome = await ask(await itemsOf(store, asked), { port: withoutCalls(model), of, from });
      if (outcome?.status !== "done") return outcome ? reasonOf(outcome) : null;
    }
    const summary = await summaryIn(scope, of);
    if (!summary) return new Error("The model said nothing where it was to sum the conversation up.");
    await putSummary(scope, thread, summary);
    return null;
  };

  /** Tells what the repository says, where that is due. Whether there was anything. */
  const instructed = async (items: readonly Item[]): Promise<boolean> => {
    if (!instructions || !scope.files) return false;
    const place = { thread, at };
    if (!scope.head().state && (await mayHaveInstructions(scope, place))) await options.start?.placed;
    return tellInstructions(scope, items, place);
  };

  /** Tells what waits to be told. Whether there was anything. */
  const told = async (ending: boolean): Promise<boolean> => {
    const said = (await options.inbox?.(ending)) ?? [];
    // What is said stands behind the task.
    if (said.length > 0) await options.start?.placed;
    return tell(scope, thread, said);
  };

  /** Why a turn left its conversation as it was. */
  const reasonOf = async (outcome: OutcomeFacts | null): Promise<Error> => {
    if (typeof outcome?.error === "string") return new Error((await getBytes(store, outcome.error as Link)).toString());
    return new Error(
      "A step ended without a message in its conversation, so the agent cannot go on: a handler answered it so.",
    );
  };

  return { work, performOpen };
}
