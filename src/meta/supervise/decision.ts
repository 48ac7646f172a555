/** What a supervisor may decide, and what it is checked against. Merging, landing and granting are not in the vocabulary at all. */
import type { Json } from "../../trace/ports.ts";
import { destroys, placeOf, SEVERITIES } from "./destructive.ts";
import { isAtWork, type WorkerView } from "./view.ts";

export const ACTIONS = ["inject", "handoff", "discard", "deny", "rewrite", "revert", "pause", "resume"] as const;

/** What is done to a worker. Nothing (`none`) is what is done to one that no decision names. */
export type Action = (typeof ACTIONS)[number];

interface Base {
  worker: string;
  /** At most 20 words. */
  reason: string;
}

/** `guidance`, what the worker is told, has at most 60 words. */
export type Decision = Base &
  (
    | { action: "inject"; guidance: string }
    /** A new conversation that begins with the guidance; the files stay, or are those of `from`. */
    | { action: "handoff"; guidance: string; from?: string }
    /** A new conversation, and the files that the worker began with. */
    | { action: "discard"; guidance?: string }
    /** The pending intent `n` is not performed. */
    | { action: "deny"; n: number; guidance?: string }
    /** The pending intent `n` is performed with another input. */
    | { action: "rewrite"; n: number; input: Json; guidance?: string }
    /** Files and conversation as behind step `n`. */
    | { action: "revert"; n: number; guidance?: string }
    | { action: "pause" | "resume" }
  );

/** Which actions may be taken on which worker. Who is not in it is out of reach. `from` of a handoff needs `handoff` on both. */
export type Granted = ReadonlyMap<string, ReadonlySet<Action>>;

export const MOST_REASON = 20;
export const MOST_GUIDANCE = 60;
/** Beside the limits of words, in UTF-16 units: a word can have any length. */
const MOST_LETTERS = { reason: 240, guidance: 720 };
/** Of a new input, as JSON. */
const MOST_INPUT = 8000;

export type Checked = { decision: Decision } | { why: string };

/**
 * A decision out of whatever a policy says, or why it is none. `seen` are the views it was decided on. Of what it says beyond a decision nothing
 * is kept. Does not throw.
 */
export function checkDecision(raw: Json | undefined, seen: readonly WorkerView[], granted: Granted): Checked {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return { why: "It is no object." };
  const { worker, action } = raw;
  const view = seen.find(({ name }) => name === worker);
  if (!view) return { why: "There is no such worker." };
  if (!ACTIONS.includes(action as Action)) return { why: "There is no such action." };
  const act = action as Action;
  if (!granted.get(view.name)?.has(act)) return { why: `To ${act} it is not granted.` };
  if (!isAtWork(view)) return { why: `The worker is ${view.state}.` };
  const reason = wordsOf(raw.reason, MOST_REASON, MOST_LETTERS.reason);
  if (reason === null) return { why: `Its reason is missing, or longer than ${MOST_REASON} words.` };
  const told = raw.guidance === undefined || raw.guidance === null || raw.guidance === "" ? undefined : raw.guidance;
  const guidance = told === undefined ? undefined : wordsOf(told, MOST_GUIDANCE, MOST_LETTERS.guidance);
  if (guidance === null) return { why: `Its guidance is no text, or longer than ${MOST_GUIDANCE} words.` };
  const base = { worker: view.name, reason };
  const also = guidance === undefined ? {} : { guidance };
  switch (act) {
    case "inject":
    case "handoff": {
      if (guidance === undefined) return { why: `To ${act} without guidance says nothing.` };
      if (act === "inject") return { decision: { ...base, action: act, guidance } };
      const { from } = raw;
      if (from === undefined || from === null || from === "") return { decision: { ...base, action: act, guidance } };
      if (from === view.name || !seen.some(({ name }) => name === from)) return { why: "It hands over from nobody." };
      if (!granted.get(from as string)?.has("handoff")) return { why: "To hand over from there is not granted." };
      return { decision: { ...base, action: act, guidance, from: from as string } };
    }
    case "discard":
      return { decision: { ...base, action: act, ...also } };
    case "pause":
    case "resume":
      if ((act === "resume") !== (view.state === "paused")) return { why: `The worker is ${view.state}.` };
      return { decision: { ...base, action: act } };
    case "revert": {
      const { n } = raw;
      if (!isNumber(n) || n >= view.steps) return { why: "It goes back to no earlier step." };
      return { decision: { ...base, action: act, n, ...also } };
    }
    case "deny":
    case "rewrite": {
      const { n } = raw;
      const intent = view.pending.find((each) => each.n === n);
      if (!isNumber(n) || !intent) return { why: "It names no intent that is pending." };
      if (act === "deny") return { decision: { ...base, action: act, n, ...also } };
      const { input } = raw;
      if (typeof input !== "object" || input === null || Array.isArray(input)) return { why: "It has no new input." };
      if (JSON.stringify(input).length > MOST_INPUT) return { why: "Its new input is too long." };
      const harm = (of: Json): number => SEVERITIES.indexOf(destroys({ ...intent, input: of }, placeOf(view)).severity);
      if (harm(input) > harm(intent.input)) return { why: "Its new input destroys more than what it replaces." };
      return { decision: { ...base, action: act, n, input, ...also } };
    }
  }
}

const isNumber = (n: Json | undefined): n is number => Number.isSafeInteger(n) && (n as number) >= 0;

/** A text of so many words in one line; null where it is none, or longer. */
function wordsOf(value: Json | undefined, words: number, letters: number): string | null {
  if (typeof value !== "string" || value.length > letters) return null;
  const text = value.replace(/[\p{C}\p{Z}\s]+/gu, " ").trim();
  return text === "" || text.split(" ").length > words ? null : text;
}
