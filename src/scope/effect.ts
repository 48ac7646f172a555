/** What a scope performs, and the handlers that may stand between an intent and its outcome. */
import type { IntentFacts, Kind, Status, Tier } from "../trace/frame.ts";
import type { Json, Link } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";

/** What a handler sees of an effect. */
export interface EffectView {
  scope: string;
  n: number;
  kind: Kind;
  tier: Tier;
  /** Name of the tool or of the declared effect; the kind for others. */
  name: string;
  input: Json;
  /** Whether it is declared to change no file. */
  readOnly: boolean;
  /** Where it is an effect of a scope within this one, whose step `n` it runs in: that scope, and its number there. */
  within?: { scope: string; n: number };
}

/** What a handler says. `forward` leaves it to the next handler outwards; who answers last of all is the default of the tier. */
export type Decision =
  | { kind: "forward" }
  | { kind: "allow" }
  | { kind: "deny"; reason: string }
  /** `allow`: so it may run, and nobody further out is asked. */
  | { kind: "rewrite"; input: Json; allow?: boolean }
  | { kind: "answer"; result: Performed };

export interface Handler {
  name: string;
  handle(effect: EffectView, signal: AbortSignal): Promise<Decision> | Decision;
  /** After this time the default of the tier stands. No time-out without. */
  timeoutMs?: number;
}

/** Takes effects back. */
export interface Compensate {
  /** Takes one back. Called with the same key for every try, so that the outside can tell a second try. */
  (effect: { step: Step; key: string; log: string }): Promise<void>;
  /** Throws a sentence where it does not know how to. */
  check?(effect: { step: Step; log: string }): Promise<void>;
}

/** What came of an effect. */
export interface Performed {
  status: Status;
  /** The answer in full, as an object. */
  result?: Link;
  /** Items appended to threads, new shell states. */
  threads?: { [name: string]: { append?: Link[]; shell?: Link | null } };
  /** Where more was observed than declared. */
  tier?: Tier;
  facts?: { [key: string]: Json };
  witness?: { [key: string]: Json };
}

export interface Attempt {
  n: number;
  /** The same for every attempt of this intent, unless one was taken back in between, and for no other intent. */
  key: string;
  input: Json;
  signal: AbortSignal;
}

export interface Effect {
  intent: IntentFacts;
  name: string;
  input: Json;
  /** Numbers of the model step whose message asks for it, and of the container it runs in. */
  turn?: number;
  inside?: number;
  /** Which place in the lock's queue it takes: none for what does not touch the files. */
  lock: "none" | "shared" | "exclusive";
  /** Whether it changes nothing, though it takes no shared place: a gate lets it pass. */
  readOnly?: boolean;
  /** For a container, which holds no lock while it runs: its files are captured once it has ended. */
  captureAtEnd?: boolean;
  run(attempt: Attempt): Promise<Performed>;
  /**
   * For a call that a program of the user's performs, which tells later what came of it. Its files are captured, and the lock is given back,
   * before; the outcome is written once this resolves.
   */
  told?(performed: Performed): Promise<Performed>;
  /** What the worker is told when it is refused. */
  refused(reason: string): Promise<Performed>;
}

const TIERS: readonly Tier[] = ["reversible", "repeatable", "compensable", "irreversible"];

export const higherTier = (a: Tier, b: Tier): Tier => (TIERS.indexOf(a) >= TIERS.indexOf(b) ? a : b);

/** Whether the tier must be allowed by a handler before it may act. */
export const needsConsent = (tier: Tier): boolean => tier === "compensable" || tier === "irreversible";

const defaultDecision = (tier: Tier): Decision =>
  needsConsent(tier)
    ? { kind: "deny", reason: `nobody allowed this ${tier} effect; a gate can allow it` }
    : { kind: "allow" };

export interface Decided {
  decision: Exclude<Decision, { kind: "forward" | "rewrite" }>;
  input: Json;
  /** The handler that had the last word; `default` for the tier. */
  by: string;
  /** The one that changed the input last; null if none has. */
  changedBy: string | null;
}

/**
 * Asks the handlers from the innermost outwards. A rewrite goes on outwards with the new input; every other answer ends it. A handler
 * that fails or takes too long counts as the default of the tier, and the reason says so.
 */
export async function decide(effect: EffectView, handlers: readonly Handler[], signal: AbortSignal): Promise<Decided> {
  const { decided, input, changedBy } = await askAll(effect, handlers, signal);
  if (decided) return decided;
  return { decision: defaultDecision(effect.tier) as Decided["decision"], input, by: "default", changedBy };
}

/** Those of the scope that a scope lies in, as one handler of that: they are asked behind its own, about step `n` in which it runs. */
export const around = (handlers: readonly Handler[], n: number): Handler => ({
  name: "around",
  handle: async (effect, signal) => {
    const { within = { scope: effect.scope, n: effect.n } } = effect;
    const { decided, input, changedBy } = await askAll({ ...effect, n, within }, handlers, signal);
    const rewritten = changedBy !== null;
    if (!decided) return rewritten ? { kind: "rewrite", input } : { kind: "forward" };
    if (decided.decision.kind === "allow" && rewritten) return { kind: "rewrite", input, allow: true };
    return decided.decision;
  },
});

/** As `decide`; `decided` is null where all have left it to others. */
async function askAll(
  effect: EffectView,
  handlers: readonly Handler[],
  signal: AbortSignal,
): Promise<{ decided: Decided | null; input: Json; changedBy: string | null }> {
  let input = effect.input;
  let changedBy: string | null = null;
  for (const handler of handlers) {
    const answer = await ask(handler, { ...effect, input }, signal);
    if (answer.kind === "forward") continue;
    if (answer.kind === "rewrite") {
      input = answer.input;
      changedBy = handler.name;
      if (answer.allow)
        return { decided: { decision: { kind: "allow" }, input, by: handler.name, changedBy }, input, changedBy };
    } else return { decided: { decision: answer, input, by: handler.name, changedBy }, input, changedBy };
  }
  return { decided: null, input, changedBy };
}

async function ask(handler: Handler, effect: EffectView, signal: AbortSignal): Promise<Decision> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Decision>((resolve) => {
    if (handler.timeoutMs === undefined) return;
    timer = setTimeout(() => resolve(fallback(effect.tier, handler, "did not answer in time")), handler.timeoutMs);
  });
  try {
    return await Promise.race([Promise.resolve(handler.handle(effect, signal)), late]);
  } catch (error) {
    if (signal.aborted) throw error;
    return fallback(effect.tier, handler, `failed: ${(error as Error).message}`);
  } finally {
    clearTimeout(timer);
  }
}

function fallback(tier: Tier, handler: Handler, what: string): Decision {
  const decision = defaultDecision(tier);
  return decision.kind === "deny" ? { kind: "deny", reason: `the handler ${handler.name} ${what}` } : decision;
}
