/** One call of a program, from the moment its intent is written. */
import { isDeepStrictEqual } from "node:util";
import type { Performed } from "../scope/effect.ts";
import type { LiveScope, Pending } from "../scope/scope.ts";
import type { Call } from "../scope/thread.ts";
import type { Tier } from "../trace/frame.ts";
import type { Json } from "../trace/ports.ts";
import type { ToolTraits, Verdict } from "./calls.ts";

export interface Performing {
  readonly n: number;
  readonly call: Call;
  readonly traits: ToolTraits;
  readonly thread: string | undefined;
  /** The model step that asked for it. */
  readonly turn: number | undefined;
  /** The call that it runs in, for one that the program made by itself: no model is told what came of it. */
  readonly own: boolean;
  /** Null until the program begins it. */
  readonly pending: Pending | null;
  /** Whether it may run, and has not ended as far as is known. */
  readonly running: boolean;
  /** Whether the program has waited for it as long as it does. */
  readonly late: boolean;
  /** Whether the program went on before it had its answer. */
  readonly left: boolean;
  /** What the program was told, or will be. */
  readonly verdict: Promise<Verdict> | null;
  /** What it is known to have done outside until it ended. */
  outside(): { tier?: Tier };
  /** Whether its outcome is written, or about to be. */
  over: boolean;
  begin(input: Json, signal: AbortSignal): Promise<Verdict>;
  /** Whether the program was allowed to perform it with this input. */
  allows(input: Json | undefined): boolean;
  /** It has ended; at return its files are captured. */
  end(performed: Performed): Promise<void>;
  /** Gives its outcome to a call that has begun; where it still waits for a word, nothing was performed. */
  tell(performed: Performed): void;
}

/** The agent is told so, as it takes no result of a tool from anybody else. */
const ANSWERED: Verdict = { kind: "deny", reason: "it was answered in place of the tool" };

/** @param observed the highest tier of what it did outside */
export function performing(
  scope: LiveScope,
  n: number,
  call: Call,
  traits: ToolTraits,
  own: boolean,
  observed: () => Tier | undefined,
): Performing {
  const { intent, links } = scope.writer.fold.steps.get(n)!;
  const stop = new AbortController();
  let ended: (performed: Performed) => void = () => {};
  let tell: (performed: Performed) => void = () => {};
  let captured: Promise<void> = Promise.resolve();
  let pending: Pending | null = null;
  let verdict: Promise<Verdict> | null = null;
  /** Null where it is performed as the program said. */
  let rewritten: Json = null;
  let state: "waits" | "runs" | "ended" = "waits";
  let since = 0;
  let tier: Tier | undefined;
  let asked = false;
  const { shared, container, unasked } = traits;

  /** Nothing belongs to it that comes after its end. */
  const outside = (): { tier?: Tier } => {
    if (state === "waits") return {};
    if (!asked) tier = observed();
    asked = true;
    return tier ? { tier } : {};
  };

  const begin = (input: Json, signal: AbortSignal): Promise<Verdict> =>
    new Promise((resolve, reject) => {
      let capture = (): void => {};
      captured = new Promise((done) => {
        capture = done;
      });
      const told = new Promise<Performed>((done) => {
        tell = done;
      });
      pending = scope.again(
        n,
        {
          intent,
          name: call.name,
          input,
          lock: container || unasked ? "none" : shared ? "shared" : "exclusive",
          run: ({ input: now }) => {
            state = "runs";
            // The program went on while the call was still about to begin, so it is not performed.
            if (stop.signal.aborted) {
              state = "ended";
              return Promise.resolve({ status: "aborted" });
            }
            since = performance.now();
            if (now !== input) rewritten = now;
            resolve({ kind: "allow", ...(now !== input && { input: now }) });
            return new Promise((done) => {
              ended = (how) => {
                const seen = outside();
                state = "ended";
                done({ ...seen, ...how });
              };
            });
          },
          ...(!own && {
            told: async (how: Performed) => {
              capture();
              // Where it was not allowed before.
              resolve(ANSWERED);
              const said = await told;
              return { ...how, ...said, status: said.status === "done" ? how.status : said.status };
            },
          }),
          refused: async (reason) => {
            resolve({ kind: "deny", reason });
            return own ? { status: "denied" } : told;
          },
        },
        AbortSignal.any([signal, stop.signal]),
      );
      pending.settled
        .then(
          () => resolve(ANSWERED),
          (error: Error) => reject(error),
        )
        .finally(capture);
    });

  return {
    n,
    call,
    traits,
    thread: intent.thread,
    turn: links.turn,
    own,
    over: false,
    get pending() {
      return pending;
    },
    get running() {
      return state === "runs";
    },
    get late() {
      return state === "runs" && traits.awaited !== undefined && performance.now() - since > traits.awaited;
    },
    get left() {
      return stop.signal.aborted;
    },
    get verdict() {
      return verdict;
    },
    outside,
    begin: (input, signal) => {
      verdict = begin(input, signal);
      verdict.catch(() => {});
      return verdict;
    },
    allows: (input) =>
      state !== "waits" && (rewritten === null || input === undefined || isDeepStrictEqual(input, rewritten)),
    end: async (how) => {
      ended(how);
      await captured;
    },
    tell: (how) => {
      if (state === "waits") stop.abort(new Error("the program went on without an answer"));
      ended(how);
      tell(how);
    },
  };
}
