/**
 * What gates that have a name said of calls, as notes. It is written before a call goes on, and counts for each attempt of the call, whoever
 * drives the run by then and whether or not the gate is there: no gate is asked twice about one call.
 */
import type { EffectView } from "../scope/effect.ts";
import { findScope } from "../scope/registry.ts";
import type { LiveScope } from "../scope/scope.ts";
import { type Call, getBytes, putBytes } from "../scope/thread.ts";
import { readLog } from "../scope/view.ts";
import { decodeJson, encodeJson, sha256 } from "../trace/bytes.ts";
import type { Frame } from "../trace/frame.ts";
import { Forgotten } from "../trace/objects.ts";
import type { Hash, Json, Link } from "../trace/ports.ts";
import type { Fold } from "../trace/seal.ts";
import type { Answer } from "./question.ts";

/** Who had the word: a pattern of the gate's, who was asked, or nobody, where nobody was there to be asked. */
export type By = "pattern" | "person" | "nobody";

/** What one gate said of one call. */
export interface Said {
  gate: string;
  n: number;
  /** The call, where it was made in a scope within step `n`. */
  within: { scope: string; n: number } | null;
  decision: Answer["kind"];
  how: By;
  /** Hash of the input that it was asked about: what it said counts for no other. */
  of: Hash;
  /** The input in its place. */
  what: Link | null;
  /** Why it is denied. */
  why: Link | null;
  /** Pattern of calls that are let pass from now on. */
  always: Link | null;
}

export interface Decisions {
  /** What was said of a call in attempts of it before, in the order in which it was. */
  of(view: EffectView): Promise<Said[]>;
  /** Writes down what a gate says. @param witness who it is, by which right, and why */
  write(view: EffectView, gate: string, answer: Answer, how: By, witness: { [key: string]: Json }): Promise<void>;
  /** All that a gate has said of calls of this run. */
  by(gate: string): Promise<Said[]>;
}

export const hashOf = (input: Json): Hash => sha256(encodeJson(input));

/** Of `n` alone, where a call is one of the scope itself. */
const keyOf = ({ n, within }: { n: number; within?: Said["within"] }): string =>
  within ? `${n} ${within.scope} ${within.n}` : String(n);

/** What a frame says that a gate decided; null for every other frame. */
function saidIn({ phase, n, facts }: Frame): Said | null {
  if (phase !== "note" || facts.note !== "gate" || typeof facts.gate !== "string" || typeof facts.of !== "string")
    return null;
  const { gate, decision, how, of, within = null, what = null, why = null, always = null } = facts;
  return { gate, n, within, decision, how, of, what, why, always } as unknown as Said;
}

export function makeDecisions({ store, writer }: Pick<LiveScope, "store" | "writer">): Decisions {
  const { fold, log, epoch } = writer;
  const known = new Map<string, Said[]>();
  const add = (said: Said): void => {
    const key = keyOf(said);
    known.set(key, [...(known.get(key) ?? []), said]);
  };
  // Only calls that were begun before have been decided before: they stand behind the oldest that is open still.
  const since = Math.min(...fold.pending().map(({ intentSeq }) => intentSeq));
  let read: Promise<void> | null = null;
  const readBefore = async (): Promise<void> => {
    if (!Number.isFinite(since)) return;
    for await (const frame of store.logs.read(log, since)) {
      if (frame.epoch >= epoch) break;
      const said = saidIn(frame);
      if (said) add(said);
    }
  };
  return {
    of: async (view) => {
      read ??= readBefore();
      await read;
      return known.get(keyOf(view)) ?? [];
    },
    write: async ({ n, input, within }, gate, answer, how, witness) => {
      const put = (text: string): Promise<Link> => putBytes(store, Buffer.from(text.toWellFormed()));
      const links = {
        ...(answer.kind === "rewrite" && { what: await putBytes(store, encodeJson(answer.input)) }),
        ...(answer.kind === "deny" && { why: await put(answer.reason ?? "") }),
        ...(answer.kind === "allow" && answer.always !== undefined && { always: await put(answer.always) }),
      };
      const facts = { gate, decision: answer.kind, how, of: hashOf(input), ...(within && { within }), ...links };
      await writer.note(n, { note: "gate", ...facts }, { witness });
      add({ n, within: null, what: null, why: null, always: null, ...facts });
    },
    by: async (gate) => {
      const all: Said[] = [];
      for await (const frame of store.logs.read(log)) {
        const said = saidIn(frame);
        if (said?.gate === gate) all.push(said);
      }
      return all;
    },
  };
}

/** As it was said. */
export async function answerOf({ store }: Pick<LiveScope, "store">, said: Said): Promise<Answer> {
  const text = async (of: Link): Promise<string> => (await getBytes(store, of)).toString();
  if (said.decision === "deny") return { kind: "deny", reason: await text(said.why!) };
  if (said.decision === "rewrite") return { kind: "rewrite", input: decodeJson(await getBytes(store, said.what!)) };
  return { kind: "allow", ...(said.always && { always: await text(said.always) }) };
}

/** Gives what was asked for by a call that something was said of; null where its bytes were forgotten, or its scope is gone. */
export function callReader({ store, writer }: Pick<LiveScope, "store" | "writer">): (of: Said) => Promise<Call | null> {
  const folds = new Map<string, Promise<Fold | null>>();
  const foldOf = async (scope: string): Promise<Fold | null> => {
    const ref = await findScope(store, scope);
    return ref && (await readLog(store, ref.log)).fold;
  };
  return async ({ n, within }) => {
    let fold: Fold | null = writer.fold;
    if (within) {
      const found = folds.get(within.scope) ?? foldOf(within.scope);
      folds.set(within.scope, found);
      fold = await found;
    }
    const what = fold?.steps.get(within?.n ?? n)?.intent.what;
    if (what === undefined) return null;
    try {
      return decodeJson(await getBytes(store, what)) as unknown as Call;
    } catch (error) {
      if (error instanceof Forgotten) return null;
      throw error;
    }
  };
}
