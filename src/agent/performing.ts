/** What a code body asks for, as effects of its scope: performed, or given back from its log. */
import { setImmediate as breath } from "node:timers/promises";
import { attemptedAgain } from "../scope/attempt.ts";
import type { Attempt, Effect, Performed } from "../scope/effect.ts";
import type { LiveScope } from "../scope/scope.ts";
import { type Call, getBytes, putBytes } from "../scope/thread.ts";
import { decodeJson, encodeJson } from "../trace/bytes.ts";
import type { OutcomeFacts, Tier } from "../trace/frame.ts";
import type { Json, Link } from "../trace/ports.ts";
import { serial } from "../trace/serial.ts";
import {
  Cancelled,
  Conflict,
  Denied,
  errorNamed,
  Failed,
  InDoubt,
  Invalid,
  OverBudget,
  ShepherdError,
} from "./errors.ts";
import { follow, type History, placeId, type Recorded } from "./journal.ts";
import { asJson } from "./schema.ts";
import { putBlock } from "./steps.ts";

/** How something is done that a body asks for. */
export interface How {
  kind: "effect" | "tool";
  tier: Tier;
  lock: "none" | "exclusive";
  container?: boolean;
  /** Whether no gate need be asked: it changes nothing, or what it does is asked about by itself. */
  quiet?: boolean;
  /** Throws `Invalid` for an input that does not fit: then there is no step. */
  check?(input: Json): Promise<void>;
  /** An error of the family is its outcome, unless that stops the run; any other says that the host or the store is unfit. */
  run(attempt: Attempt): Promise<Performed>;
  /** What the body gets of an outcome. */
  value(outcome: OutcomeFacts): Promise<unknown>;
}

export interface Performing {
  perform(name: string, input: unknown, how: How): Promise<unknown>;
  /** Rejects once the body cannot go on. */
  halted: Promise<never>;
  /** What the log has that the body has not asked for. */
  left(): Recorded[];
  /** Resolves when nothing runs any more. */
  ended(): Promise<void>;
  close(): void;
}

/** What the body waits for. */
interface Waiting {
  how: How;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Errors that say nothing of the work, but that it cannot be driven (any further) now. */
const STOPPING = new WeakSet<Error>();
export function stopping(error: Error): Error {
  STOPPING.add(error);
  return error;
}

/** Whether an error of something that was asked for stops who asked, too, with nothing written down: it can be gone on with. */
const stops = (error: unknown): boolean =>
  !(error instanceof ShepherdError) ||
  STOPPING.has(error) ||
  error instanceof InDoubt ||
  error instanceof Cancelled ||
  error instanceof OverBudget;

export function performing(
  scope: LiveScope,
  history: History,
  { agent, thread, signal }: { agent: string; thread: string; signal: AbortSignal },
): Performing {
  const run = scope.ref.name;
  const running = new Set<Promise<unknown>>();
  const inOrder = serial();
  let next = 0;
  let stopped: Error | null = null;
  let fail: (error: Error) => void = () => {};
  const halted = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  halted.catch(() => {});
  const halt = (error: Error): void => {
    stopped ??= error;
    fail(error);
  };
  const cancelled = (): Cancelled => new Cancelled("The run is stopped.", { run, cause: stopped ?? signal.reason });
  const onAbort = (): void => halt(cancelled());
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  /** Waits, but not for what never comes once the run is stopped. */
  const orStopped = <T>(wait: Promise<T>): Promise<T> =>
    Promise.race([
      wait,
      halted.catch(() => {
        throw cancelled();
      }),
    ]);

  const effectOf = (call: Call, what: Link, how: How): Effect => ({
    intent: { kind: how.kind, tier: how.tier, thread, what, agent, ...(how.container && { container: true }) },
    lock: how.lock,
    ...(how.quiet && { readOnly: true }),
    name: call.name,
    input: call.input as Json,
    run: async (attempt) => {
      try {
        return await how.run(attempt);
      } catch (error) {
        if (attempt.signal.aborted || stops(error)) throw error;
        return failed(scope, error);
      }
    },
    refused: async (reason) => ({
      status: "denied",
      facts: { error: await putBytes(scope.store, Buffer.from(reason.toWellFormed())) },
    }),
  });

  const settled = async (n: number, outcome: OutcomeFacts, how: How): Promise<unknown> => {
    if (outcome.status === "aborted") {
      const error = new InDoubt(
        `Step ${n} of ${run} may have acted, and was ended so.`,
        { run, step: n, hint: "Revert the run to before it." },
        [{ n, tier: how.tier, compensated: false }],
      );
      halt(error);
      throw error;
    }
    if (typeof outcome.error !== "string") return how.value(outcome);
    const why = (await getBytes(scope.store, outcome.error as Link)).toString();
    if (outcome.status === "denied")
      throw new Denied(why, { run, step: n, hint: "A gate, or `grants: { allow: [name] }`, lets it pass." });
    throw errorNamed(String(outcome.code), why, { run, step: n });
  };

  const waiting = new Map<number, Waiting>();
  /** Gives an outcome to the body, and lets it ask for what it asks for then: so the order of outcomes alone says the order of what follows. */
  const give = async (n: number, outcome: OutcomeFacts): Promise<void> => {
    const here = waiting.get(n);
    waiting.delete(n);
    if (!here || stopped) return;
    await settled(n, outcome, here.how).then(here.resolve, here.reject);
    await breath();
  };
  const journal = follow(history, ({ step }) => give(step.n, step.outcome!));
  // Outcomes that come now are given in the order in which they are written, behind all that is known.
  const inTurn = serial();
  const begun = new Map<number, { promise: Promise<void>; tell: () => void }>();
  const isBegun = (n: number) => {
    let tell = (): void => {};
    const promise = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const here = begun.get(n) ?? { promise, tell };
    begun.set(n, here);
    return here;
  };
  const unwatch = scope.writer.watch((frame) => {
    if (frame.phase !== "outcome") return;
    const { intent } = scope.writer.fold.steps.get(frame.n)!;
    if (intent.agent !== agent || intent.thread !== thread) return;
    void inTurn(async () => {
      await orStopped(Promise.all([journal.over, isBegun(frame.n).promise]));
      begun.delete(frame.n);
      await give(frame.n, frame.facts);
    }).catch(() => {});
  });

  const perform = async (place: number, name: string, given: unknown, how: How): Promise<unknown> => {
    const input = asJson(given, `The input of ${name}`);
    const call: Call = { type: "call", id: placeId(place), name, input };
    const outcome = await inOrder(async () => {
      if (stopped) throw cancelled();
      const what = await putBlock(scope, call);
      const recorded = history.known.get(place);
      if (recorded && recorded.step.intent.what !== what) {
        halt(differs(run, recorded.step.n, agent, recorded.call, call));
        throw cancelled();
      }
      if (!recorded) await how.check?.(input);
      const effect = effectOf(call, what, how);
      const why = "the run was stopped before the effect had its outcome";
      const pending = !recorded
        ? await scope.begin(effect, signal)
        : recorded.step.outcome
          ? null
          : scope.again(recorded.step.n, attemptedAgain(scope, effect, why), signal);
      const n = pending?.n ?? recorded!.step.n;
      const waits = new Promise<unknown>((resolve, reject) => {
        waiting.set(n, { how, resolve, reject });
      });
      // Whoever has asked for it sees its error.
      waits.catch(() => {});
      if (pending) {
        const runs = pending.settled.catch((error: unknown) => {
          halt(error instanceof Error ? error : new Error(String(error)));
        });
        running.add(runs);
        void runs.then(() => running.delete(runs));
        isBegun(n).tell();
      }
      if (recorded) journal.arrive(place);
      return { waits };
    });
    return orStopped(outcome.waits);
  };

  return {
    perform: (name, input, how) => {
      if (stopped) return Promise.reject(cancelled());
      const place = next++;
      return perform(place, name, input, how);
    },
    halted,
    left: journal.left,
    ended: async () => {
      while (running.size > 0) await Promise.all(running);
    },
    close: () => {
      journal.close();
      unwatch();
      signal.removeEventListener("abort", onAbort);
    },
  };
}

/** What a body asks for is not what its log has at that place. */
const differs = (run: string, n: number, agent: string, was: Call, is: Call): Conflict =>
  new Conflict(`The body of ${agent} asks for ${told(is)}, where its log has ${told(was)} as step ${n} of ${run}.`, {
    run,
    step: n,
    hint: "A body must ask for the same whenever it is run: take clocks, random numbers and files from its context, or revert to before that step.",
  });

/** The body ended, and had done more before. */
export const endedEarly = (run: string, agent: string, { step, call }: { step: { n: number }; call: Call }): Conflict =>
  new Conflict(
    `The body of ${agent} asks for nothing more (return), where its log has ${told(call)} as step ${step.n} of ${run}.`,
    { run, step: step.n, hint: "A body must ask for the same whenever it is run, or revert to before that step." },
  );

const told = ({ name, input }: Call): string => {
  const text = JSON.stringify(input);
  return `${name}(${text.length > 200 ? `${text.slice(0, 200)}…` : text})`;
};

/** An error as the outcome of an effect. */
export async function failed({ store }: Pick<LiveScope, "store">, error: unknown): Promise<Performed> {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof ShepherdError ? error.name : Failed.name;
  return {
    status: "failed",
    facts: { error: await putBytes(store, Buffer.from(message.toWellFormed())), code },
  };
}

export const putResult = async ({ store }: Pick<LiveScope, "store">, value: Json): Promise<Performed> => ({
  status: "done",
  result: await putBytes(store, encodeJson(value)),
});

export const readResult = async ({ store }: Pick<LiveScope, "store">, { result }: OutcomeFacts): Promise<Json> => {
  if (!result) throw new Invalid("A handler answered an effect without a result.");
  return decodeJson(await getBytes(store, result));
};
