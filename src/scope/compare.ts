/** Where two runs go different ways: what they were asked, what they said and did, what came of it. */
import { decodeJson, encodeJson, parseLink } from "../trace/bytes.ts";
import type { Json, Link } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { type Block, getBytes, getItem, type Item, textOf } from "./thread.ts";
import type { Found } from "./view.ts";

/**
 * What differs first of its sort: the task, what was asked of the model besides the conversation, its answer, a call, something that was told, what came
 * of a call, how a step ended, the files behind it; a step that is of another kind, or one that only one run has.
 */
export type DifferenceKind =
  | "task"
  | "request"
  | "answer"
  | "call"
  | "message"
  | "result"
  | "status"
  | "files"
  | "step"
  | "end";

export interface Difference {
  kind: DifferenceKind;
  /** The step in each run; null where one has none there. */
  a: Found | null;
  b: Found | null;
  /** What it is in each; of files nothing. */
  was: string | null;
  is: string | null;
}

export interface Compared {
  /** So many steps are the same in both: the same commit, or in all of this. */
  same: number;
  /** In order, each sort once. Empty where the runs did the same. */
  differences: Difference[];
}

/**
 * Compares the ways of two runs, oldest step first, place by place, until they do different things. Names that calls have, clocks and costs do not count, nor
 * what only one provider knows (thinking).
 */
export async function compareRuns(store: EmbeddedStore, a: readonly Found[], b: readonly Found[]): Promise<Compared> {
  const differences: Difference[] = [];
  const told = new Set<DifferenceKind>();
  let same = 0;
  while (same < Math.min(a.length, b.length) && idOf(a[same]!) === idOf(b[same]!)) same++;
  let at = same;
  for (; at < Math.max(a.length, b.length); at++) {
    const [one, other] = [a[at] ?? null, b[at] ?? null];
    const tell = (kind: DifferenceKind, was: string | null, is: string | null): void => {
      if (!told.has(kind)) differences.push({ kind, a: one, b: other, was, is });
      told.add(kind);
    };
    if (!one || !other) {
      tell("end", one?.step.intent.kind ?? null, other?.step.intent.kind ?? null);
      break;
    }
    const goesOn = await compareSteps(store, one.step, other.step, tell);
    if (differences.length === 0) same = at + 1;
    if (!goesOn) break;
  }
  return { same, differences };
}

const idOf = ({ step }: Found): string => step.sealed?.id ?? step.frame;

type Tell = (kind: DifferenceKind, was: string | null, is: string | null) => void;

/** Tells how two steps differ. False where what follows them cannot be compared. */
async function compareSteps(store: EmbeddedStore, a: Step, b: Step, tell: Tell): Promise<boolean> {
  if (a.intent.kind !== b.intent.kind) {
    tell("step", a.intent.kind, b.intent.kind);
    return false;
  }
  const look = (kind: DifferenceKind, was: string | null, is: string | null): boolean => {
    if (was !== is) tell(kind, was, is);
    return was === is;
  };
  const both = <T>(of: (step: Step) => Promise<T>): Promise<[T, T]> => Promise.all([of(a), of(b)]);
  const sort = SORTS[a.intent.kind];
  let goesOn = true;
  if (sort === "request") {
    const [was, is] = await both((step) => requestParts(store, step));
    for (const part of new Set([...was.keys(), ...is.keys()]))
      look("request", labelled(part, was.get(part)), labelled(part, is.get(part)));
    const [said, says] = await both((step) => answerOf(store, step));
    look("answer", said.text, says.text);
    // The same calls are made whatever is said beside them.
    goesOn = look("answer", said.calls, says.calls);
  } else if (sort) goesOn = look(sort, ...(await both((step) => askedIn(store, step)))) || sort === "task";
  look("status", statusOf(a), statusOf(b));
  if (sort === "call") look("result", ...(await both((step) => resultOf(store, step))));
  const tree = (step: Step): string | null => step.sealed?.state.roots.workspace ?? null;
  if (tree(a) && tree(b) && tree(a) !== tree(b)) tell("files", null, null);
  return goesOn;
}

const SORTS: { [kind: string]: "task" | "request" | "call" | "message" } = {
  run: "task",
  model: "request",
  tool: "call",
  command: "call",
  message: "message",
  inject: "message",
  handoff: "message",
};

const labelled = (part: string, value: string | undefined): string | null =>
  value === undefined ? null : `${part}: ${value}`;

const statusOf = ({ outcome }: Step): string => {
  const code = outcome?.code;
  return `${outcome?.status ?? "open"}${typeof code === "number" && code > 0 ? ` (exit code ${code})` : ""}`;
};

const bytesOf = async (store: EmbeddedStore, of: Link): Promise<string> => {
  try {
    return (await getBytes(store, of)).toString();
  } catch {
    return "[not there]";
  }
};

async function membersOf(store: EmbeddedStore, step: Step): Promise<{ [name: string]: Json }> {
  try {
    const value = decodeJson(await getBytes(store, step.intent.what!));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
  } catch {
    return {};
  }
}

/** What is asked of a model besides the conversation, which follows from the steps before: the model, the instructions, the tools, … */
async function requestParts(store: EmbeddedStore, step: Step): Promise<Map<string, string>> {
  const parts = new Map<string, string>();
  for (const [name, value] of Object.entries(await membersOf(store, step))) {
    if (name === "items" || name === "edits" || name === "type" || name === "v") continue;
    const link = typeof value === "string" && parseLink(value) ? (value as Link) : null;
    parts.set(name, link ? await bytesOf(store, link) : typeof value === "string" ? value : JSON.stringify(value));
  }
  return parts;
}

/** What was asked by a task, a command, a call or a message. */
async function askedIn(store: EmbeddedStore, step: Step): Promise<string | null> {
  const { kind } = step.intent;
  if (SORTS[kind] === "message") return messagesOf(await itemsIn(store, step));
  const { text, model, worker, name, input } = await membersOf(store, step);
  if (kind === "tool") return typeof name === "string" ? `${name} ${encodeJson(input ?? null)}` : null;
  const by = [worker, model].filter((each) => typeof each === "string");
  return typeof text === "string" ? `${text}${kind === "run" ? ` (${by.join(", ")})` : ""}` : null;
}

async function itemsIn(store: EmbeddedStore, { outcome }: Step): Promise<Item[]> {
  const links = Object.values(outcome?.threads ?? {}).flatMap(({ append }) => append ?? []);
  return Promise.all(links.map((each) => getItem(store, each)));
}

const messagesOf = (items: readonly Item[]): string => items.map((item) => `${item.role}: ${textOf(item)}`).join("\n");

async function answerOf(store: EmbeddedStore, step: Step): Promise<{ text: string; calls: string }> {
  const appended = await itemsIn(store, step);
  const items = appended.length > 0 || !step.outcome?.result ? appended : [await getItem(store, step.outcome.result)];
  const calls = items.flatMap(({ content }) => content.filter((block): block is Call => block.type === "call"));
  return {
    text: items.map((item) => textOf(item)).join("\n"),
    calls: calls.map(({ name, input }) => `${name} ${encodeJson(input as Json)}`).join("\n"),
  };
}
type Call = Extract<Block, { type: "call" }>;

async function resultOf(store: EmbeddedStore, step: Step): Promise<string | null> {
  const items = await itemsIn(store, step);
  if (items.length > 0) return items.map((item) => textOf(item)).join("\n");
  return step.outcome?.result ? bytesOf(store, step.outcome.result) : null;
}
