/** What a model answered, as decisions. Total: whatever it is, what is not clearly a decision is none, and said to be so. */
import type { Json } from "../../trace/ports.ts";
import { ACTIONS, checkDecision, type Decision, type Granted } from "./decision.ts";
import type { WorkerView } from "./view.ts";

export interface Refused {
  /** Whom it was about, as it said; null where that cannot be told. */
  worker: string | null;
  action: string | null;
  /** A sentence. */
  why: string;
}

export interface Answer {
  /** One a worker at most. */
  decisions: Decision[];
  refused: Refused[];
}

/** UTF-16 units of an answer. */
const MOST_ANSWER = 64_000;
/** So many decisions are read. */
const MOST_DECISIONS = 200;

/**
 * The decisions in `text`: the members `decisions` of the one object of JSON that has such, wherever it stands. Two objects that differ are none, since a model may quote
 * what a worker said. So are two decisions about one worker.
 */
export function readAnswer(text: string, seen: readonly WorkerView[], granted: Granted): Answer {
  const nothing = (why: string): Answer => ({ decisions: [], refused: [{ worker: null, action: null, why }] });
  if (text.length > MOST_ANSWER) return nothing(`The answer is longer than ${MOST_ANSWER} characters.`);
  const found: Json[][] = [];
  for (const { decisions } of objectsIn(text)) if (Array.isArray(decisions)) found.push(decisions);
  if (found.length === 0) return nothing("The answer has no JSON with decisions.");
  const [list] = found;
  // Also where one is named in what is no JSON: what stands around it may be a quotation.
  const mentioned = text.match(/"decisions"\s*:/g)?.length ?? 0;
  if (mentioned > found.length || found.some((each) => JSON.stringify(each) !== JSON.stringify(list)))
    return nothing("The answer has several lists of decisions, and does not say which counts.");
  if (list!.length > MOST_DECISIONS) return nothing(`The answer has more than ${MOST_DECISIONS} decisions.`);

  const named = list!.map((raw) => (typeof raw === "object" && raw !== null && !Array.isArray(raw) ? raw : {}));
  const decisions: Decision[] = [];
  const refused: Refused[] = [];
  for (const [at, raw] of list!.entries()) {
    const { worker, action } = named[at]!;
    const refuse = (why: string): void => {
      refused.push({ worker: brief(worker), action: brief(action), why });
    };
    if (typeof worker === "string" && named.filter((each) => each.worker === worker).length > 1) {
      refuse("There are several decisions about this worker.");
      continue;
    }
    // Also about workers that are not there: it does nothing.
    if (action === "none") continue;
    const checked = checkDecision(raw, seen, granted);
    if ("why" in checked) refuse(checked.why);
    else decisions.push(checked.decision);
  }
  return { decisions, refused };
}

/** What a refused decision said, short enough to be told. */
function brief(value: Json | undefined): string | null {
  if (typeof value !== "string") return null;
  if ((ACTIONS as readonly string[]).includes(value)) return value;
  return value.slice(0, 64).replace(/[\p{C}\p{Z}\s]+/gu, " ");
}

/** Attempts to find the end of an object that has none. */
const MOST_TRIES = 64;

/** The objects of JSON that stand in a text and in no other object of it. */
function* objectsIn(text: string): Generator<{ [key: string]: Json }> {
  let tries = 0;
  for (let at = text.indexOf("{"); at >= 0 && tries < MOST_TRIES; ) {
    const end = endOf(text, at);
    const value = end === null ? null : parsed(text.slice(at, end));
    if (value === null) tries++;
    else yield value;
    at = text.indexOf("{", value === null ? at + 1 : end!);
  }
}

const MOST_DEPTH = 40;

/** Where the object ends that begins at a place; null if it does not. */
function endOf(text: string, from: number): number | null {
  let depth = 0;
  let inString = false;
  for (let at = from; at < text.length; at++) {
    const char = text[at];
    if (inString) {
      if (char === "\\") at++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === "{" || char === "[") {
      if (++depth > MOST_DEPTH) return null;
    } else if ((char === "}" || char === "]") && --depth === 0) return at + 1;
  }
  return null;
}

function parsed(text: string): { [key: string]: Json } | null {
  try {
    return JSON.parse(text) as { [key: string]: Json };
  } catch {
    // Also what is nested too deep for the parser.
    return null;
  }
}
