/** What a code body asks for, as effects of its scope: performed, or given back from its log. */
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
import { type Journal, placeId } from "./journal.ts";
import { asJson } from "./schema.ts";
import { putBlock } from "./steps.ts";

/** How something is done that a body asks for. */
export interface How {
  kind: "effect" | "tool";
  tier: Tier;
  lock: "none" | "exclusive";
  container?: boolean;
  /** Throws `Invalid` for an input that does not fit: then there is no step. */
  check?(input: Json): Promise<void>;
  /** What it throws is its outcome, unless it stops the run. */
  run(attempt: Attempt): Promise<Performed>;
  /** What the body gets of an outcome. */
  value(outcome: OutcomeFacts): Promise<unknown>;
}

export interface Performing {
  perform(name: string, input: unknown, how: How): Promise<unknown>;
  /** Rejects once the body cannot go on. */
  halted: Promise<never>;
  /** Resolves when nothing runs any more. */
  ended(): Promise<void>;
}

/** Errors of something that was called which stop its caller, too: it can be gone on with. */
export const stops = (error: unknown): boolean =>
  error instanceof InDoubt || error instanceof Cancelled || error instanceof OverBudget;

export function performing(
  scope: LiveScope,
  journal: Journal,
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

  const perform = async (place: number, name: string, given: unknown, how: How): Promise<unknown> => {
    const input = asJson(given, `The input of ${name}`);
    const call: Call = { type: "call", id: placeId(place), name, input };
    const begun = await inOrder(async () => {
      if (stopped) throw cancelled();
      const what = await putBlock(scope, call);
      const recorded = journal.at(place);
      if (!recorded) {
        await how.check?.(input);
        return scope.begin(effectOf(call, what, how), signal);
      }
      const { step } = recorded;
      if (step.intent.what !== what) {
        halt(differs(run, step.n, agent, recorded.call, call));
        throw cancelled();
      }
      journal.arrive(place);
      if (step.outcome) return { n: step.n, known: step.outcome };
      const why = "the run was stopped before the effect had its outcome";
      return scope.again(step.n, attemptedAgain(scope, effectOf(call, what, how), why), signal);
    });
    if ("known" in begun) {
      await orStopped(journal.due(place));
      return settled(begun.n, begun.known, how);
    }
    const pending = begun.settled.then(
      ({ outcome }) => outcome,
      (error: unknown) => {
        halt(error instanceof Error ? error : new Error(String(error)));
        throw cancelled();
      },
    );
    running.add(pending);
    const outcome = await pending.finally(() => running.delete(pending));
    // What is known came before it.
    await orStopped(journal.over);
    if (stopped) throw cancelled();
    return settled(begun.n, outcome, how);
  };

  return {
    perform: (name, input, how) => {
      if (stopped) return Promise.reject(cancelled());
      const place = next++;
      return perform(place, name, input, how);
    },
    halted,
    ended: async () => {
      while (running.size > 0) await Promise.allSettled(running);
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

export const resultOf = async ({ store }: Pick<LiveScope, "store">, value: Json): Promise<Performed> => ({
  status: "done",
  result: await putBytes(store, encodeJson(value)),
});

export const readResult = async ({ store }: Pick<LiveScope, "store">, { result }: OutcomeFacts): Promise<Json> => {
  if (!result) throw new Invalid("A handler answered an effect without a result.");
  return decodeJson(await getBytes(store, result));
};
