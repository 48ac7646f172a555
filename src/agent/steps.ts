/** What the agent reads from a log: steps of its thread that wait, their blocks, the shell as the newest call left it. */

import type { LiveScope } from "../scope/scope.ts";
import { type Block, type Call, getBytes, putBytes } from "../scope/thread.ts";
import { allSteps } from "../scope/view.ts";
import { decodeJson, encodeJson } from "../trace/bytes.ts";
import type { Frame } from "../trace/frame.ts";
import type { Link } from "../trace/ports.ts";
import { type Fold, isContainer, type Step } from "../trace/seal.ts";

const unsealed = (fold: Fold, thread: string, kind: "model" | "tool"): Step[] =>
  fold.pending().filter(({ intent }) => intent.kind === kind && intent.thread === thread && !isContainer(intent));

/** Steps of a thread that have no outcome, by number. */
export const waiting = (fold: Fold, thread: string, kind: "model" | "tool"): Step[] =>
  unsealed(fold, thread, kind).filter(({ outcome }) => !outcome);

/** Sequence number of the last outcome that set the whole state: what waited then belongs to a past that was left. */
export function lastTurnOver(fold: Fold): number {
  for (let at = fold.sealed.length - 1; at >= 0; at--) {
    const step = fold.sealed[at]!;
    if (step.outcome?.state) return step.outcomeSeq;
  }
  return -1;
}

/** Whether a thread stands where a revert, or the undo of something, has put it; not one that is part of going on. */
export function wasReverted(fold: Fold, thread: string): boolean {
  for (let at = fold.sealed.length - 1; at >= 0; at--) {
    const { outcome, intent, witness } = fold.sealed[at]!;
    if (outcome?.state && witness.goesOn) continue;
    if (outcome?.state) return intent.kind === "revert" || intent.kind === "undo";
    if (outcome?.threads?.[thread]?.append?.length) return false;
  }
  return false;
}

/** The shell of a thread as its newest call left it, also where that call has no commit yet. */
export function shellOf(fold: Fold, thread: string): Link | null {
  let shell = fold.head().state?.threads[thread]?.shell ?? null;
  let newest = -1;
  for (const { outcome, outcomeSeq } of fold.pending()) {
    const left = outcome?.threads?.[thread]?.shell;
    if (left === undefined || outcomeSeq < newest) continue;
    shell = left;
    newest = outcomeSeq;
  }
  return shell;
}

/** Blocks of a model step that were passed on, in order. */
export async function blocksOf(scope: LiveScope, step: Step): Promise<Block[]> {
  const blocks: Block[] = [];
  for await (const frame of scope.store.logs.read(scope.ref.log, step.intentSeq))
    if (isBlock(frame, step.n))
      blocks.push(decodeJson(await getBytes(scope.store, frame.facts.what as Link)) as unknown as Block);
  return blocks;
}

const isBlock = (frame: Frame, n: number): frame is Frame & { phase: "part" } =>
  frame.phase === "part" && frame.n === n && frame.facts.part === "block";

export async function callOf(scope: LiveScope, step: Step): Promise<Call> {
  return decodeJson(await getBytes(scope.store, step.intent.what!)) as unknown as Call;
}

/**
 * The step of each open call that has one: matched by the call's content, each step once. A step that has its outcome already waits for
 * one before it to be sealed, and will answer its call then.
 */
export async function stepsOf(scope: LiveScope, thread: string, calls: readonly Call[]): Promise<Map<Call, Step>> {
  const { fold } = scope.writer;
  const since = lastTurnOver(fold);
  const free = unsealed(fold, thread, "tool").filter((step) => step.intentSeq > since);
  const found = new Map<Call, Step>();
  for (const call of calls) {
    const what = await putBlock(scope, call);
    const at = free.findIndex((step) => step.intent.what === what);
    if (at >= 0) found.set(call, free.splice(at, 1)[0]!);
  }
  return found;
}

/** Stores a block, as a call's intent and a part of its message name it. */
export const putBlock = (scope: LiveScope, block: Block): Promise<Link> => putBytes(scope.store, encodeJson(block));

/** Number of the model step whose message holds a call; undefined where the conversation came from another scope by a merge. */
export async function turnOf(scope: LiveScope, thread: string, message: Link): Promise<number | undefined> {
  const asked = (step: Step): boolean =>
    step.intent.kind === "model" && (step.outcome?.threads?.[thread]?.append ?? []).includes(message);
  const { fold } = scope.writer;
  const own = fold.sealed.findLast(asked);
  if (own) return own.n;
  return (await allSteps(scope.store, { ref: scope.ref, log: scope.ref.log, fold })).findLast(({ step }) => asked(step))
    ?.step.n;
}
