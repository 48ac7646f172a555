/** A run as a value: what can be done with one, whoever drives it. */
import type { Kind, Tier } from "../trace/frame.ts";
import { serial } from "../trace/serial.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { type Agent, definitionOf } from "./agent.ts";
import type { Clock } from "./clock.ts";
import type { DeclaredEffect, Effects } from "./effect.ts";
import { Invalid } from "./errors.ts";
import type { AgentEvent } from "./events.ts";
import type { Handle } from "./handle.ts";
import type { ModelPort } from "./model.ts";
import type { Doing } from "./operations.ts";
import type { ModelFunction } from "./ports/function.ts";
import type { InputOf } from "./schema.ts";

/** A model: its name (`script:FILE`), a port, or a function that answers requests. */
export type Model = string | ModelPort | ModelFunction;

/** What a run may spend, with all agents that it calls. Asked before each model call; one that crosses a limit is let finish. */
export interface Budget {
  /** US dollars, as far as a model says what it costs. */
  readonly usd?: number;
  /** Tokens of all kinds. */
  readonly tokens?: number;
  /** Model calls. */
  readonly turns?: number;
  /** Milliseconds that this process drives it. */
  readonly ms?: number;
}

/** What a run may do. An agent that it calls has no more. */
export interface GrantOptions {
  /** Names of compensable and irreversible effects that need no question. */
  readonly allow?: readonly string[];
  /** Paths in the workspace that its commands cannot write. */
  readonly readOnly?: readonly string[];
  /** Absolute paths outside that they can. */
  readonly writable?: readonly string[];
}

export interface DriveOptions {
  /** Stops the run as `cancel` does. */
  readonly signal?: AbortSignal;
  readonly budget?: Budget;
  /** When its files come into the directory: `never` by themselves (the default), `auto` at its end, `live` step by step. */
  readonly land?: "never" | "auto" | "live";
  /** Instead of the definition's; agents that it calls have it where theirs names none. */
  readonly model?: Model;
  /** Directory of the store; that of the command line without it. */
  readonly store?: string;
  /** What `now` and `sleep` of a code body go by, for tests; the machine's without it. */
  readonly clock?: Clock;
}

export interface StartOptions extends DriveOptions {
  /** The directory whose files it works on; the present one without it. */
  readonly in?: string;
  readonly grants?: GrantOptions;
  /** Gates by name, and what holds for a call while the gate of that name is not there: it passes, is denied, or waits. Forks have them too. */
  readonly guards?: { readonly [name: string]: "allow" | "deny" | "wait" };
  /** `FILE#NAME`: where the agent is exported, by which `shepherd resume`, `revert` and `discard` find it. */
  readonly module?: string;
  /** Name of the run; made of the agent's without it. */
  readonly name?: string;
}

export interface ResumeOptions extends DriveOptions {
  /** A message for the agent to go on with; not for a code body. */
  readonly instruction?: string;
  /**
   * Says what becomes of an effect that may have acted: it is performed (with the same key, or a new one if it was taken back), or has this output, or
   * is left in doubt (the default), so that the run ends with `InDoubt`.
   */
  readonly inDoubt?: (effect: DoubtfulEffect) => Verdict | Promise<Verdict>;
}
type Verdict = "perform" | "leave" | { readonly output: unknown };

export interface DoubtfulEffect {
  readonly n: number;
  readonly name: string;
  readonly input: unknown;
  readonly tier: string;
  readonly key: string;
  /** Its undo has run. */
  readonly compensated: boolean;
}

interface StepBase {
  readonly n: number;
  /** Commit; null until it is sealed. */
  readonly id: string | null;
  readonly tier: Tier;
  /** `done`, `failed`, `denied`, `aborted`, `cut`, `conflict`, `not-run`; `intent` as long as it has no outcome. */
  readonly status: string;
  /** Clock of the intent, in ms since the epoch. */
  readonly at: number;
  readonly thread: string | null;
  /** The call of an agent that it belongs to. */
  readonly inside: number | null;
  /** Why it failed or was denied. */
  readonly error: string | null;
}

type EffectSteps<E extends Effects> = {
  [K in keyof E & string]: E[K] extends DeclaredEffect<infer I, infer O>
    ? StepBase & {
        readonly kind: "effect";
        readonly name: K;
        readonly input: InputOf<I>;
        /** As it was returned; undefined without an outcome. */
        readonly output: InputOf<O> | undefined;
      }
    : never;
}[keyof E & string];

/** What a context does by itself. `return` holds what the body returned. */
export type OwnEffect = "now" | "random" | "uuid" | "fetch" | "sleep" | "return";

/** A step of a run. The declared effects of its agent have their types. */
export type Step<E extends Effects = Effects> =
  | EffectSteps<E>
  | (StepBase & {
      readonly kind: "effect";
      readonly name: OwnEffect;
      readonly input: unknown;
      readonly output: unknown;
    })
  /** A call of another agent, which runs in the scope `child`. */
  | (StepBase & {
      readonly kind: "call";
      readonly name: string;
      readonly input: unknown;
      readonly output: unknown;
      readonly child: string | null;
    })
  | (StepBase & { readonly kind: "tool"; readonly name: string; readonly input: unknown; readonly text: string })
  | (StepBase & {
      readonly kind: "model";
      readonly text: string;
      readonly usage: { readonly [kind: string]: number };
      readonly cost: number | null;
    })
  | (StepBase & { readonly kind: Exclude<Kind, "effect" | "tool" | "model">; readonly text: string });

export interface ObserveOptions<E extends Effects> {
  /** Number of the first step. */
  readonly from?: number;
  filter?(step: Step<E>): boolean;
}

/** What is seen live, with the run that it is of: an agent that is called is told of, too. */
export type LiveEvent = AgentEvent & { readonly run: string };

/** What a gate is asked about. */
export type GatedEffect<E extends Effects> =
  | {
      [K in keyof E & string]: E[K] extends DeclaredEffect<infer I, infer _O>
        ? { readonly name: K; readonly input: InputOf<I>; readonly n: number; readonly tier: Tier }
        : never;
    }[keyof E & string]
  | {
      readonly name: "bash" | "read" | "write" | "edit" | "fetch" | "tool";
      readonly tool: string;
      readonly input: unknown;
      readonly n: number;
      readonly tier: Tier;
    };

export type GateVerdict = "allow" | { readonly deny: string } | { readonly rewrite: unknown };

export interface Gate {
  /** Asks no more: what waits goes as its tier says, or as the run declares for the gate's name. */
  close(): void;
  /**
   * Resolves once it is asked, with what a gate of its name decided before, which it is not asked again, and the steps of calls that are held.
   * Rejects where nobody drives the run, and where another gate has the name.
   */
  readonly attached: Promise<{
    readonly decided: ReadonlyArray<{
      readonly n: number;
      readonly tool: string | null;
      readonly input: unknown;
      readonly decision: "allow" | "deny" | "rewrite";
      readonly reason: string | null;
    }>;
    readonly waiting: readonly number[];
  }>;
  /** Resolves once it is asked no more: it was closed, the run has ended, or the process that drove it is gone. Never rejects. */
  readonly ended: Promise<void>;
}

/** What an operation on a run can say of itself. */
export interface Deciding {
  /** Why: stands in the log of the run, beside what was done. */
  readonly why?: string;
  /** The step (its number, or its commit) that it was decided on. Where the run does not stand there any more, nothing is done, and it throws `Conflict`. */
  readonly expect?: number | string;
}

export interface ForkOptions extends DriveOptions, Deciding {
  /** The step behind which it begins; the newest sealed one without it. */
  readonly at?: number;
  /** Before that step instead of behind it: its call is open. */
  readonly intent?: boolean;
  /** What to tell its agent; not for a code body. */
  readonly instruction?: string;
}

export interface SpawnOptions extends DriveOptions, Deciding {
  /** The step behind which its files begin. */
  readonly at?: number;
}

export interface HandoffOptions extends Deciding {
  /** What it is told first. */
  readonly guidance: string;
  /** The run whose files it goes on with; its own without it. */
  readonly from?: Known;
  /** The step of that run; the newest one without it. */
  readonly at?: number;
}

export interface Reverted {
  /** Number of the step that the revert made. */
  readonly n: number;
  /** Effects outside that it passed, and which of them were taken back. */
  readonly outside: ReadonlyArray<{ n: number; tier: string; compensated: boolean; inDoubt: boolean }>;
}

export interface Merged {
  /** `nothing`: the directory has all of it already. */
  readonly status: "done" | "nothing";
  readonly changes: ReadonlyArray<{ path: string; kind: "added" | "deleted" | "modified" }>;
  /** What was not landed, since it runs code later and `yes` was not given, or since it cannot be. */
  readonly held: ReadonlyArray<{ path: string; why: string }>;
}

export interface Synced {
  /** Number of the step that it made; null where there was nothing to bring. */
  readonly n: number | null;
  readonly status: "done" | "nothing";
}

export interface Replayed {
  readonly steps: number;
  readonly commits: number;
  /** The newest commit, computed anew. */
  readonly head: string | null;
  /** What does not hold, a sentence each. */
  readonly wrong: readonly string[];
}

/** What a holder of a run may do with it. */
export type Right =
  | "observe"
  | "gate"
  | "inject"
  | "pause"
  | "resume"
  | "cancel"
  | "handoff"
  | "fork"
  | "revert"
  | "sync"
  | "merge"
  | "land"
  | "discard"
  | "replay"
  | "spawn";

/** What every holder has. */
interface Known {
  /** Name of the agent. */
  readonly agent: string;
  /** Name of the run, once it has one. Rejects where it could not begin. */
  readonly scope: Promise<string>;
}

interface Rights<Out, E extends Effects> {
  observe: {
    /** What came of it, once it has ended: of a run that is at work elsewhere, too. Rejects with an error of the family. Never unhandled. */
    readonly result: Promise<Out>;
    /** Its newest sealed step; null before the first. Each look asks anew. */
    readonly head: Promise<{ readonly n: number; readonly id: string } | null>;
    /** Its own steps, in the order of sealing, each once, as they are sealed, until it ends. Durable: they are read from the log, at any pace, and do not hold it up. */
    observe(options?: ObserveOptions<E>): AsyncIterable<Step<E>>;
    /** Tokens and blocks as they come. Lossy: of more than 1,000 events that wait the oldest go. Only in the process that drives it; elsewhere it ends at once. */
    live(): AsyncIterable<LiveEvent>;
    /** Its own steps so far, by number, those without an outcome too. */
    steps(): Promise<Array<Step<E>>>;
  };
  gate: {
    /** Asks before each tool call and effect that is not read-only, also of agents that it calls. All gates must let it pass; what throws denies. A gate that is set in the same turn as `start` misses nothing. What one with a name (`as`) said is written down before the call goes on, and counts for good. */
    gate(decide: (effect: GatedEffect<E>) => GateVerdict | Promise<GateVerdict>, options?: { as?: string }): Gate;
  };
  inject: {
    /** Tells its agent something before its next request. Synced at return. Throws `Invalid` for a code body, which is told nothing. */
    inject(text: string, options?: Deciding): Promise<void>;
  };
  pause: {
    /** What runs ends, and nothing new begins until `resume`. Its steps are the same as without. Throws `Conflict` where nobody drives it. */
    pause(options?: Deciding): Promise<void>;
  };
  resume: {
    /** Ends a pause; or goes on with a run that has ended, in this process where it knows its agent. The run as it goes on. */
    resume(options?: ResumeOptions & Deciding): Run<Out, E>;
  };
  cancel: {
    /** Stops it, and waits until it stands. What it did stays. Does nothing where it has ended. */
    cancel(reason?: string): Promise<void>;
  };
  handoff: {
    /**
     * Begins its conversation anew, on the files as they are: with `guidance`, and then its task. With `from` it goes on with the files of another run,
     * of which the holder may at least `observe`. A run at work goes on at once. Throws `Invalid` for a code body and a command.
     */
    handoff(options: HandoffOptions): Promise<{ readonly n: number }>;
  };
  fork: {
    /** Another run that begins with its state behind a step, and goes on from there. Grants are those of this run. */
    fork(options?: ForkOptions): Run<Out, E>;
    /** So many at once, all from the same commit. */
    forks(count: number, options?: ForkOptions): Array<Run<Out, E>>;
  };
  revert: {
    /** Sets files and conversations back to step `n`, as a new step; a run at work goes on from there. Runs undos. Synced at return. Throws `Conflict` where effects stand that cannot be taken back, unless `acknowledge`. */
    revert(n: number, options?: { acknowledge?: boolean } & Deciding): Promise<Reverted>;
  };
  sync: {
    /** Brings into it what changed in its directory meanwhile. Throws `Conflict` where both changed a place, unless `take` says whose counts. */
    sync(options?: { take?: "ours" | "theirs" | "both" } & Deciding): Promise<Synced>;
  };
  merge: {
    /**
     * Lands its files in the directory that it was started in, or in the run that it was forked from (`into: "parent"`). What changed there meanwhile is kept
     * and merged. Throws `Conflict`, with nothing changed, where both changed a place, unless `take` says whose counts, or `both`, where the two go together. `shepherd undo` takes it back.
     */
    merge(
      options?: { into?: "directory" | "parent"; take?: "ours" | "theirs" | "both"; yes?: boolean } & Deciding,
    ): Promise<Merged>;
  };
  land: {
    /** `merge` into the directory alone. */
    land(options?: { take?: "ours" | "theirs" | "both"; yes?: boolean } & Deciding): Promise<Merged>;
  };
  discard: {
    /** Gives it up: stops it, runs the undos of its effects. `shepherd undo` brings it back. Synced at return. */
    discard(options?: Deciding): Promise<void>;
  };
  spawn: {
    /** Starts a run of an agent from this one, which may do no more than it: on the files of its directory, or on its own behind step `at`. */
    spawn<I, O, F extends Effects>(agent: Agent<I, O, F>, input: I, options?: SpawnOptions): Run<O, F>;
  };
  replay: {
    /** Computes all of its commits anew from its log, and checks what that names. Sends nothing, and runs nothing. */
    replay(): Promise<Replayed>;
  };
}

type Both<U> = (U extends unknown ? (each: U) => void : never) extends (all: infer I) => void ? I : never;

/** A run of which the holder has some rights, and no others: neither by type nor at run time. */
export type Held<Out, E extends Effects, R extends Right> = Known & Both<Rights<Out, E>[R]>;

/** A run with all rights. A value: it is not thenable. Disposing of it stops it, if it is at work, and waits for that. */
export interface Run<Out = unknown, E extends Effects = Effects>
  extends Known,
    Both<{ [R in Right]: Rights<Out, E>[R] }[Right]> {
  [Symbol.asyncDispose](): Promise<void>;
}

export const RIGHTS: readonly Right[] = [
  "observe",
  "gate",
  "inject",
  "pause",
  "resume",
  "cancel",
  "handoff",
  "fork",
  "revert",
  "sync",
  "merge",
  "land",
  "discard",
  "replay",
  "spawn",
];

/** Behind a run: its handle, and what its holder may do. */
const HANDLES = new WeakMap<object, { handle: Handle; rights: ReadonlySet<Right> }>();

export const handleOf = (value: unknown): { handle: Handle; rights: ReadonlySet<Right> } | null =>
  (typeof value === "object" && value !== null && HANDLES.get(value)) || null;

type Operations = typeof import("./operations.ts");
const operations = (): Promise<Operations> => import("./operations.ts");

type Merging = { take?: "ours" | "theirs" | "both"; yes?: boolean } & Deciding;

/** Who does what a holder does, and the key that is the same for each attempt of it. */
export interface Holder {
  readonly who: string;
  readonly key?: string;
}

/** How what a holder does is done: at once, or by way of the body that holds the run. */
export type Through = <T>(name: string, given: unknown, act: (holder: Holder) => Promise<T>) => Promise<T>;
const directly: Through = (_name, _given, act) => act({ who: "the program" });

/** The value that a holder gets of a run. */
export function makeRun(handle: Handle, rights: ReadonlySet<Right>, through: Through = directly): Run {
  /** Forks are made, and so named, in the order in which they were asked for. */
  const inTurn = serial();
  /** Does something by a right, as an operation. What is said of it is no part of what it is given. */
  const does = <Given extends object, T>(
    right: Right,
    { why, expect, ...given }: Given & Deciding,
    act: (store: EmbeddedStore, name: string, doing: Doing, operations: Operations) => Promise<T>,
  ): Promise<T> =>
    through(right, { ...given, ...(expect !== undefined && { expect }) }, async ({ who, key }) => {
      const loaded = await operations();
      const by = { who, right, ...(why !== undefined && { why }) };
      return loaded.on(handle, (store, name) => act(store, name, { by, expect, key }, loaded));
    });
  const forks = (count: number, options: ForkOptions): Array<Promise<string>> => {
    const { at = null, instruction = null, intent = false } = options;
    const given = { at, instruction, ...(intent && { intent }), ...(count > 1 && { count }) };
    // At once, so that it has its place among what a body does.
    const made = through("fork", given, (holder) =>
      inTurn(async () => {
        const names = await (await import("./owning.ts")).makeForks(handle, count, options, holder);
        // As it was always written down.
        return count === 1 ? names[0]! : names;
      }),
    );
    return Array.from({ length: count }, (_, i) => {
      const name = made.then((names) => (typeof names === "string" ? names : names[i]!));
      // Who drives it tells of it.
      name.catch(() => {});
      return name;
    });
  };
  const methods: { [R in Right]: object } = {
    observe: {
      observe: async function* (options: ObserveOptions<Effects> = {}) {
        yield* (await import("./watching.ts")).observe(handle, options);
      },
      live: () => handle.live(),
      steps: () => through("steps", null, async () => (await import("./watching.ts")).stepsOf(handle)),
    },
    gate: {
      gate: (
        decide: (effect: GatedEffect<Effects>) => GateVerdict | Promise<GateVerdict>,
        { as }: { as?: string } = {},
      ) => handle.gate(decide, as),
    },
    inject: {
      inject: (text: string, options: Deciding = {}) =>
        does("inject", { text, ...options }, (store, name, doing, { injectInto }) =>
          injectInto(store, name, text, doing),
        ),
    },
    pause: {
      pause: (options: Deciding = {}) =>
        does("pause", options, (store, name, doing, { pauseRun }) => pauseRun(store, name, doing)),
    },
    resume: {
      resume: (options: ResumeOptions & Deciding = {}) => {
        const { instruction, why, expect, ...rest } = options;
        const said = { instruction: instruction ?? null, why, expect };
        const released = does("resume", said as Deciding, (store, name, doing, { release }) =>
          release(store, name, instruction, doing),
        );
        released.catch(() => {});
        return makeRun(
          handle.resume({ ...rest, ...(instruction !== undefined && { instruction }) }, released),
          rights,
          through,
        );
      },
    },
    cancel: {
      cancel: (reason = "cancelled") => through("cancel", reason, ({ who }) => handle.cancel(reason, who)),
    },
    handoff: {
      handoff: ({ from, ...options }: HandoffOptions) => {
        const { guidance, at } = options;
        const leader = from === undefined ? null : handleOf(from);
        if (from !== undefined && !leader?.rights.has("observe"))
          return Promise.reject(new Invalid("The files of a run can be handed over by whoever may observe it."));
        return does(
          "handoff",
          { ...options, from: leader?.handle.name ?? null },
          async (store, name, doing, { handOver }) =>
            handOver(store, name, { guidance, at, from: await leader?.handle.named }, doing),
        );
      },
    },
    fork: {
      fork: (options: ForkOptions = {}) => makeRun(handle.fork(options, forks(1, options)[0]!), rights, through),
      forks: (count: number, options: ForkOptions = {}) =>
        forks(count, options).map((made) => makeRun(handle.fork(options, made), rights, through)),
    },
    revert: {
      revert: (n: number, options: { acknowledge?: boolean } & Deciding = {}) =>
        does("revert", { n, acknowledge: false, ...options }, (store, name, doing, { revertRun }) =>
          revertRun(store, name, { n, acknowledge: options.acknowledge === true }, doing),
        ),
    },
    sync: {
      sync: (options: { take?: "ours" | "theirs" | "both" } & Deciding = {}) =>
        does("sync", options, (store, name, doing, { syncRun }) => syncRun(store, name, options, doing)),
    },
    merge: {
      merge: (options: Merging & { into?: "directory" | "parent" } = {}) =>
        does("merge", options, (store, name, doing, { landInDirectory, mergeIntoRun }) =>
          options.into === "parent"
            ? mergeIntoRun(store, name, { take: options.take }, doing)
            : landInDirectory(store, name, options, doing),
        ),
    },
    land: {
      land: (options: Merging = {}) =>
        does("land", options, (store, name, doing, { landInDirectory }) =>
          landInDirectory(store, name, options, doing),
        ),
    },
    discard: {
      discard: (options: Deciding = {}) =>
        does("discard", options, (store, name, doing, { discard }) => discard(store, name, doing)),
    },
    replay: {
      replay: () =>
        through("replay", null, async () => {
          const { on, replayRun } = await operations();
          const { steps, commits, head, wrong } = await on(handle, (store, name) => replayRun(store, name, {}));
          return { steps, commits, head: head.id, wrong };
        }),
    },
    spawn: {
      spawn: (agent: Agent, input: unknown, { at, why, expect, ...options }: SpawnOptions = {}) => {
        const definition = definitionOf(agent);
        const given = { agent: definition.name, input: input ?? null, at: at ?? null, why, expect };
        const made = does("spawn", given as Deciding, async (store, name, doing) =>
          (await import("./owning.ts")).spawnOf(store, name, definition, input, { ...doing, at }),
        );
        made.catch(() => {});
        return makeRun(handle.spawn(definition, options, made), new Set(RIGHTS), through);
      },
    },
  };
  const run = {
    agent: handle.definition.name,
    scope: handle.named,
    toJSON: () => ({ $run: handle.name, store: handle.directory, rights: [...rights] }),
  };
  for (const right of RIGHTS) if (rights.has(right)) Object.assign(run, methods[right]);
  if (rights.has("observe")) {
    Object.defineProperty(run, "result", { get: () => handle.result, enumerable: true });
    const head = () => through("head", null, async () => (await import("./watching.ts")).headOf(handle));
    Object.defineProperty(run, "head", { get: head });
  }
  if (RIGHTS.every((right) => rights.has(right)))
    Object.assign(run, { [Symbol.asyncDispose]: () => handle.cancel("its holder is done with it", "the program") });
  HANDLES.set(run, { handle, rights });
  return Object.freeze(run) as unknown as Run;
}
