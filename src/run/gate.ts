/**
 * Gates of a run: people who are asked before a tool call that is not read-only. All must let it pass. The gate that came last is asked
 * first and the one that came first has the last word, on the input as the others have left it. Where a gate goes away or takes too long, what
 * the tier says stands: an effect that needs consent is denied, and for all others it is as if the gate were not there. Where
 * asking fails, nothing passes.
 */
import { type Decision, type EffectView, type Handler, needsConsent } from "../scope/effect.ts";
import type { LiveScope } from "../scope/scope.ts";
import type { Json } from "../trace/ports.ts";
import { type Pattern, parsePattern, patternLike } from "./pattern.ts";
import { type Answer, makeQuestions, type Question, type Word } from "./question.ts";

export interface GateOptions {
  /** Patterns of calls that are let pass, and not, without a question; what is denied counts first. */
  allow: readonly string[];
  deny: readonly string[];
  /** Whether somebody is there to be asked; if not, what fits no pattern is denied. */
  asks: boolean;
  /** So long a question waits, in ms; without it for ever. */
  timeoutMs?: number | undefined;
  /** Who it is, by which right, and why. */
  witness: { [key: string]: Json };
}

/** What a gate is told. */
export type GateEvent =
  | { type: "attached" }
  | ({ type: "ask"; id: string } & Question)
  /** Nobody needs the answer any more. */
  | { type: "withdrawn"; id: string }
  | Decided;

export interface Decided {
  type: "decided";
  n: number;
  tool: string;
  input: Json;
  /** `default`: the gate did not answer, so it is as if it were not there. */
  decision: "allow" | "deny" | "rewrite" | "default";
  by: "pattern" | "person" | "nobody";
  pattern: string | null;
  reason: string | null;
}

export interface Gates {
  handler: Handler;
  /** Asks a gate from now on. Resolves when it has gone. */
  attach(options: GateOptions, send: (event: GateEvent) => void, closed: AbortSignal): Promise<void>;
  /** Throws a sentence where nobody asks that (any more). */
  answer(id: string, answer: Answer): void;
}

interface Gate extends Omit<GateOptions, "allow" | "deny"> {
  allow: Pattern[];
  deny: Pattern[];
  send: (event: GateEvent) => void;
  closed: AbortSignal;
}

const OFF = "the user does not allow it";

export function makeGates(scope: LiveScope): Gates {
  const { writer } = scope;
  // In the order in which they came.
  const gates: Gate[] = [];
  const questions = makeQuestions(writer);

  const decide = async (gate: Gate, view: EffectView, signal: AbortSignal): Promise<Word> => {
    const call = { name: view.name, input: view.input };
    const fitting = (patterns: Pattern[], allows: boolean) =>
      patterns.find((each) => each.fits(call, home(scope), allows))?.text ?? null;
    const tell = async (
      decision: Decided["decision"],
      by: Decided["by"],
      more: Partial<Decided> = {},
    ): Promise<void> => {
      const said: Decided = {
        type: "decided",
        n: view.n,
        tool: view.name,
        input: view.input,
        decision,
        by,
        pattern: null,
        reason: null,
      };
      gate.send({ ...said, ...more });
      await writer.note(view.n, { note: "gate", decision, how: by }, { witness: gate.witness });
    };
    const denied = fitting(gate.deny, false);
    if (denied !== null) {
      const reason = `the user does not allow what fits ${denied}`;
      await tell("deny", "pattern", { pattern: denied, reason });
      return { kind: "deny", reason };
    }
    const allowed = fitting(gate.allow, true);
    if (allowed === null && view.readOnly && !needsConsent(view.tier)) return { kind: "allow" };
    if (allowed !== null) {
      await tell("allow", "pattern", { pattern: allowed });
      return { kind: "allow" };
    }
    if (!gate.asks) {
      const reason = "the user did not allow it before, and is not there to be asked";
      await tell("deny", "nobody", { reason });
      return { kind: "deny", reason };
    }
    const { n, name: tool, tier, input } = view;
    const word = await questions.ask(gate, { n, tool, tier, input, always: patternLike(call, home(scope)) }, signal);
    if (word.kind === "none") {
      await tell("default", "nobody", { reason: word.why });
      return word;
    }
    if (word.kind === "allow" && word.always !== undefined) gate.allow.push(parsePattern(word.always));
    const reason = word.kind === "deny" ? (word.reason ? `${OFF}: ${word.reason}` : OFF) : null;
    await tell(word.kind, "person", { reason, pattern: word.kind === "allow" ? (word.always ?? null) : null });
    return reason === null ? word : { kind: "deny", reason };
  };

  const handle = async (view: EffectView, signal: AbortSignal): Promise<Decision> => {
    if (!asksAbout(view)) return { kind: "forward" };
    let { input } = view;
    let passed = false;
    let why: string | null = null;
    for (const gate of [...gates].reverse()) {
      if (gate.closed.aborted) continue;
      const word = await decide(gate, { ...view, input }, signal);
      if (word.kind === "deny") return { kind: "deny", reason: word.reason! };
      if (word.kind === "rewrite") input = word.input;
      if (word.kind === "none") why = word.why;
      else passed = true;
    }
    const rewritten = input !== view.input;
    if (!needsConsent(view.tier)) return rewritten ? { kind: "rewrite", input } : { kind: "forward" };
    // Somebody was asked and has not said that it may run.
    if (why !== null) return { kind: "deny", reason: why };
    if (passed) return rewritten ? { kind: "rewrite", input, allow: true } : { kind: "allow" };
    return { kind: "forward" };
  };

  /** As a handler that failed, what the tier says would stand, which lets most calls pass. */
  const orDeny = (view: EffectView, signal: AbortSignal): Promise<Decision> =>
    handle(view, signal).catch((error: Error) => {
      if (signal.aborted) throw error;
      return { kind: "deny", reason: `the gate failed: ${error.message}` };
    });

  return {
    handler: { name: "gate", handle: orDeny },
    attach: async ({ allow, deny, ...options }, send, closed) => {
      const gate: Gate = { ...options, allow: allow.map(parsePattern), deny: deny.map(parsePattern), send, closed };
      gates.push(gate);
      try {
        await writer.note(null, { note: "gate", state: "attached" }, { witness: gate.witness });
        send({ type: "attached" });
        if (!closed.aborted)
          await new Promise<void>((resolve) => closed.addEventListener("abort", () => resolve(), { once: true }));
      } finally {
        gates.splice(gates.indexOf(gate), 1);
      }
    },
    answer: questions.answer,
  };
}

/** A model call is asked for by nobody's tool; a command as a whole began before anybody could be asked. */
const asksAbout = ({ kind, tier }: EffectView): boolean => kind === "tool" || kind === "effect" || needsConsent(tier);

/** The workspace as calls name it. */
const home = ({ files }: LiveScope): string => files?.path ?? "/";
