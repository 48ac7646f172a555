/**
 * Gates of a run: people and programs that are asked before a tool call that is not read-only. All must let it pass. The gate that came last is
 * asked first and the one that came first has the last word, on the input as the others have left it. Where a gate goes away or takes too
 * long, the default holds that the run declares for its name; without one what the tier says stands: an effect that needs consent is denied, and
 * for all others it is as if the gate were not there. Where asking fails, nothing passes. What a gate with a name has said of a call is not asked again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Decision, type EffectView, type Handler, needsConsent } from "../scope/effect.ts";
import { type GuardDefault, gateName } from "../scope/guards.ts";
import type { LiveScope } from "../scope/scope.ts";
import { Forgotten } from "../trace/objects.ts";
import type { Json } from "../trace/ports.ts";
import { answerOf, type By, callReader, hashOf, makeDecisions, type Said } from "./decisions.ts";
import { type Pattern, parsePattern, patternLike } from "./pattern.ts";
import { type Answer, makeQuestions, type Question, type Word } from "./question.ts";

export interface GateOptions {
  /** Patterns of calls that are let pass, and not, without a question; what is denied counts first. */
  allow: readonly string[];
  deny: readonly string[];
  /** Whether somebody is there to be asked; if not, what fits no pattern is denied. */
  asks: boolean;
  /** So long a question waits, in ms; without it for ever, as before a call that is to wait for the gate. */
  timeoutMs?: number | undefined;
  /** Who it is, by which right, and why. */
  witness: { [key: string]: Json };
  /** The name by which what it said is known when it comes back. */
  as?: string | undefined;
}

/** What a gate is told. */
export type GateEvent =
  /** Behind what a gate of that name decided before. `waiting`: steps of calls that are held, and that it has said nothing of. */
  | { type: "attached"; waiting: number[] }
  | ({ type: "ask"; id: string } & Question)
  /** Nobody needs the answer any more. */
  | { type: "withdrawn"; id: string }
  | Decided;

/** Where the gate has a name this is told once it is written down. */
export interface Decided {
  type: "decided";
  n: number;
  /** Null where its bytes were forgotten. */
  tool: string | null;
  input: Json;
  /** `default`: the gate did not answer, so it is as if it were not there. */
  decision: "allow" | "deny" | "rewrite" | "default";
  by: By;
  pattern: string | null;
  reason: string | null;
  /** Whether a gate of that name decided it before this one came. */
  earlier: boolean;
}

export interface Gates {
  handler: Handler;
  /** Asks a gate from now on. Resolves when it has gone. Throws a sentence where another one has its name. */
  attach(options: GateOptions, send: (event: GateEvent) => Promise<void> | void, closed: AbortSignal): Promise<void>;
  /** Throws a sentence where nobody asks that (any more). */
  answer(id: string, answer: Answer): void;
}

interface Gate extends Omit<GateOptions, "allow" | "deny"> {
  allow: Pattern[];
  deny: Pattern[];
  send: (event: GateEvent) => Promise<void> | void;
  closed: AbortSignal;
}

/** A call that is held: nothing more is asked of those who have said something of it. */
interface Held {
  view: EffectView;
  heard: Set<Gate | string>;
  /** The gates that were there when it came. */
  there: ReadonlySet<Gate>;
}

/** Thrown where a gate would have the name of another one that is there. */
export class NameTaken extends Error {}

const OFF = "the user does not allow it";

/** A connection whose process has died is closed soon: so often that is looked for before its name counts as taken, each time after some ms. */
const LOOKS = 10;
const PAUSE = 50;

/** @param guarded whether the gates that its grants declare are missed where they are not there */
export function makeGates(scope: LiveScope, guarded = true): Gates {
  const { writer } = scope;
  const guards = new Map(Object.entries((guarded && scope.grants.guards) || {}));
  // In the order in which they came.
  const gates: Gate[] = [];
  const names = new Map<string, AbortSignal>();
  const held = new Set<Held>();
  const questions = makeQuestions(writer);
  const decisions = makeDecisions(scope);
  let come = (): void => {};
  let coming = Promise.resolve();
  const nextComes = (): void => {
    come();
    coming = new Promise((resolve) => {
      come = resolve;
    });
  };
  nextComes();

  const decide = async (gate: Gate, view: EffectView, signal: AbortSignal): Promise<Word> => {
    const call = { name: view.name, input: view.input };
    const holds = gate.as === undefined ? undefined : guards.get(gate.as);
    const fitting = (patterns: Pattern[], allows: boolean) =>
      patterns.find((each) => each.fits(call, home(scope), allows))?.text ?? null;
    const tell = async (word: Word, by: By, more: Partial<Decided> = {}): Promise<Word> => {
      const { n, name: tool, input } = view;
      const decision = word.kind === "none" ? "default" : word.kind;
      if (gate.as !== undefined && word.kind !== "none") await decisions.write(view, gate.as, word, by, gate.witness);
      else await noteGate(n, gate, { decision, how: by, ...(holds && { default: holds }) });
      const said: Decided = { ...NEW, type: "decided", n, tool, input, decision, by, ...more };
      void gate.send(said);
      return word;
    };
    const deny = (by: By, reason: string, pattern: string | null = null): Promise<Word> =>
      tell({ kind: "deny", reason }, by, { reason, pattern });
    const denied = fitting(gate.deny, false);
    if (denied !== null) return deny("pattern", `the user does not allow what fits ${denied}`, denied);
    const allowed = fitting(gate.allow, true);
    if (allowed === null && !isAsked(view)) return { kind: "allow" };
    if (allowed !== null) return tell({ kind: "allow" }, "pattern", { pattern: allowed });
    if (!gate.asks) return deny("nobody", "the user did not allow it before, and is not there to be asked");
    const { n, name: tool, tier, input } = view;
    // A call that is to wait for the gate waits for its answer, too.
    const { timeoutMs, ...rest } = gate;
    const asked = holds === "wait" ? rest : gate;
    const word = await questions.ask(asked, { n, tool, tier, input, always: patternLike(call, home(scope)) }, signal);
    if (word.kind === "none") return holds && gate.closed.aborted ? word : tell(word, "nobody", { reason: word.why });
    if (word.kind === "deny") return deny("person", word.reason ? `${OFF}: ${word.reason}` : OFF);
    const always = word.kind === "allow" ? (word.always ?? null) : null;
    if (always !== null) gate.allow.push(parsePattern(always));
    return tell(word, "person", { pattern: always });
  };

  const noteGate = (n: number | null, { as, witness }: Pick<Gate, "as" | "witness">, facts: { [key: string]: Json }) =>
    writer.note(n, { note: "gate", ...facts, ...(as !== undefined && { gate: as }) }, { witness });

  /** What holds where a gate that is declared has said nothing. */
  const inPlaceOf = (name: string): Word =>
    guards.get(name) === "allow"
      ? { kind: "allow" }
      : { kind: "deny", reason: `the gate ${name} is not there, and what it was not asked about is denied` };

  const missing = async (name: string, { n }: EffectView): Promise<Word> => {
    const holds: GuardDefault = guards.get(name)!;
    await noteGate(n, { as: name, witness: { by: "nobody" } }, { decision: "default", how: "nobody", default: holds });
    return inPlaceOf(name);
  };

  const isThere = (name: string): boolean => gates.some(({ as, closed }) => as === name && !closed.aborted);

  /** Who speaks next about a call: a gate, or what is declared for one that is not there. `wait`: nobody until one of these has come. */
  const next = ({ view, heard, there }: Held): { gate: Gate } | { name: string } | { wait: string[] } | null => {
    const away = isAsked(view) ? [...guards.keys()].filter((name) => !heard.has(name) && !isThere(name)).sort() : [];
    const which = (holds: GuardDefault): string[] => away.filter((name) => guards.get(name) === holds);
    const [denies] = which("deny");
    if (denies !== undefined) return { name: denies };
    // Who comes later without a name is not asked about what was asked already, but where it waits for somebody.
    const isLate = (each: Gate): boolean => each.as === undefined && away.length === 0 && !there.has(each);
    const gate = gates.findLast((each) => !each.closed.aborted && !heard.has(each.as ?? each) && !isLate(each));
    if (gate) return { gate };
    const [allows] = which("allow");
    if (allows !== undefined) return { name: allows };
    return away.length > 0 ? { wait: away } : null;
  };

  const handle = async (call: Held, signal: AbortSignal): Promise<Decision> => {
    const { view, heard } = call;
    let { input } = view;
    let passed = false;
    const unanswered = new Map<Gate | string, string>();
    /** Gives the refusal, if it is one. */
    const hear = (who: Gate | string, word: Word): Decision | null => {
      heard.add(who);
      if (word.kind !== "none") unanswered.delete(who);
      if (word.kind === "deny") return { kind: "deny", reason: word.reason! };
      if (word.kind === "rewrite") input = word.input;
      if (word.kind !== "none") passed = true;
      return null;
    };
    for (const said of await decisions.of(view)) {
      if (heard.has(said.gate) || said.of !== hashOf(input)) continue;
      const refused = hear(said.gate, await answerOf(scope, said));
      if (refused) return refused;
    }
    for (let who = next(call); who; who = next(call)) {
      let refused: Decision | null = null;
      if ("wait" in who) await questions.wait(view.n, who.wait, coming, signal);
      else if ("name" in who) refused = hear(who.name, await missing(who.name, view));
      else {
        const { gate } = who;
        const { as } = gate;
        const word = await decide(gate, { ...view, input }, signal);
        const gone = word.kind === "none" && gate.closed.aborted;
        const declared = as !== undefined && guards.has(as);
        // What holds then is said next, unless another one of its name is there already.
        if (gone && declared) continue;
        if (word.kind === "none" && !declared) unanswered.set(as ?? gate, word.why);
        refused = hear(gone ? gate : (as ?? gate), word.kind === "none" && declared ? inPlaceOf(as) : word);
      }
      if (refused) return refused;
    }
    const rewritten = input !== view.input;
    if (!needsConsent(view.tier)) return rewritten ? { kind: "rewrite", input } : { kind: "forward" };
    // Somebody was asked and has not said that it may run.
    const [why] = unanswered.values();
    if (why !== undefined) return { kind: "deny", reason: why };
    if (passed) return rewritten ? { kind: "rewrite", input, allow: true } : { kind: "allow" };
    return { kind: "forward" };
  };

  /** As a handler that failed, what the tier says would stand, which lets most calls pass. */
  const orDeny = async (view: EffectView, signal: AbortSignal): Promise<Decision> => {
    if (!asksAbout(view)) return { kind: "forward" };
    const call: Held = { view, heard: new Set(), there: new Set(gates) };
    held.add(call);
    try {
      return await handle(call, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      return { kind: "deny", reason: `the gate failed: ${(error as Error).message}` };
    } finally {
      held.delete(call);
    }
  };

  /** Takes a name for a gate. */
  const take = async (name: string, closed: AbortSignal): Promise<void> => {
    gateName(name);
    const isTaken = (): boolean => names.get(name)?.aborted === false;
    for (let looks = 0; isTaken() && looks < LOOKS; looks++) await sleep(PAUSE);
    if (isTaken())
      throw new NameTaken(
        `A gate ${name} is at ${scope.ref.name} already: end that one first, or give this one another name.`,
      );
    names.set(name, closed);
  };

  /** Tells a gate what was said in its name. */
  const tellEarlier = async (name: string, gate: Gate): Promise<void> => {
    const read = callReader(scope);
    for (const said of await decisions.by(name)) {
      const answer = await answerOf(scope, said).catch((error: unknown): Answer => {
        if (error instanceof Forgotten) return { kind: "deny" };
        throw error;
      });
      if (answer.kind === "allow" && answer.always !== undefined) gate.allow.push(parsePattern(answer.always));
      await gate.send(earlier(said, answer, await read(said)));
    }
  };

  return {
    handler: { name: "gate", handle: orDeny },
    attach: async ({ allow, deny, ...options }, send, closed) => {
      const { as } = options;
      const gate: Gate = { ...options, allow: allow.map(parsePattern), deny: deny.map(parsePattern), send, closed };
      if (as !== undefined) await take(as, closed);
      try {
        if (as !== undefined) await tellEarlier(as, gate);
        await noteGate(null, gate, { state: "attached" });
        gates.push(gate);
        const open = [...held].filter(({ view, heard }) => isAsked(view) && !heard.has(as ?? gate));
        void send({ type: "attached", waiting: [...new Set(open.map(({ view }) => view.n))] });
        nextComes();
        if (!closed.aborted)
          await new Promise<void>((resolve) => closed.addEventListener("abort", () => resolve(), { once: true }));
      } finally {
        if (gates.includes(gate)) gates.splice(gates.indexOf(gate), 1);
        if (as !== undefined && names.get(as) === closed) names.delete(as);
      }
    },
    answer: questions.answer,
  };
}

const NEW = { pattern: null, reason: null, earlier: false };

const earlier = (
  { n, decision, how: by }: Said,
  answer: Answer,
  call: { name: string; input: unknown } | null,
): Decided => ({
  type: "decided",
  ...{ n, tool: call?.name ?? null, input: (call?.input ?? null) as Json, decision, by },
  pattern: answer.kind === "allow" ? (answer.always ?? null) : null,
  reason: answer.kind === "deny" ? (answer.reason ?? null) : null,
  earlier: true,
});

/** A model call is asked for by nobody's tool; a command as a whole began before anybody could be asked. */
const asksAbout = ({ kind, tier }: EffectView): boolean => kind === "tool" || kind === "effect" || needsConsent(tier);

/** What only looks is asked about by patterns alone. */
const isAsked = ({ readOnly, tier }: EffectView): boolean => !readOnly || needsConsent(tier);

/** The workspace as calls name it. */
const home = ({ files }: LiveScope): string => files?.path ?? "/";
