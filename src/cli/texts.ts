/** What a step says, as lines for people: what was asked, told, answered, and what it wrote into files. */
import { textsOf } from "../scope/changes.ts";
import { type Block, getBytes, getItem } from "../scope/thread.ts";
import { before, type View } from "../scope/view.ts";
import { target } from "../trace/bytes.ts";
import type { Link } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { diffTrees } from "../world/diff.ts";
import { keptLines } from "../world/kept.ts";
import { quotePath } from "../world/paths.ts";
import { askedOf } from "./asked.ts";

export interface Text {
  /** What was asked of it, a message, what came of it, an error, a file that it wrote. */
  where: "task" | "command" | "call" | "message" | "result" | "error" | "file";
  /** Of a file, quoted where it holds odd bytes. */
  path: string | null;
  lines: string[];
  /** Which of the lines the step itself brought, by place; all without. */
  own?: (at: number) => boolean;
}

/** What a step was asked, told and answered. Each text once: of a message that makes calls the calls are told by their own steps. */
export async function textsOfStep(store: EmbeddedStore, step: Step): Promise<Text[]> {
  const { intent, outcome } = step;
  const texts: Text[] = [];
  const add = (where: Text["where"], text: string): void => {
    if (text.trim() !== "") texts.push({ where, path: null, lines: linesIn(text) });
  };
  const read = async (of: Link): Promise<string> => (await getBytes(store, of).catch(() => Buffer.alloc(0))).toString();
  const asked = intent.what ? askedOf(intent.kind, await read(intent.what)) : null;
  const items = [];
  for (const { append } of Object.values(outcome?.threads ?? {}))
    for (const each of append ?? []) items.push(await getItem(store, each));
  // The message that begins a conversation says its task.
  if (asked && !(asked.word === "task" && items.length > 0)) add(asked.word as Text["where"], asked.lines.join("\n"));
  for (const { role, content } of items)
    for (const block of content)
      add(role === "result" ? "result" : asked?.word === "task" ? "task" : "message", wordsOf(block));
  if (items.length === 0 && outcome?.result) {
    if (intent.kind !== "model") add("result", await read(outcome.result));
    else for (const block of (await getItem(store, outcome.result)).content) add("message", wordsOf(block));
  }
  if (typeof outcome?.error === "string") add("error", await read(outcome.error as Link));
  return texts;
}

function wordsOf(block: Block): string {
  if (block.type === "text") return block.text;
  return block.type === "native" && typeof block.value.thinking === "string" ? block.value.thinking : "";
}

const linesIn = (text: string): string[] => text.replace(/\n+$/, "").split(/\r?\n/);

/** Steps by which files only come from elsewhere. */
const HANDING: ReadonlySet<string> = new Set([
  "run",
  "revert",
  "undo",
  "handoff",
  "merge",
  "resolve",
  "sync",
  "landing",
]);

/** The files that a step wrote, whole, with which of their lines are its own. Binary and large ones are left out. */
export async function* filesOfStep(store: EmbeddedStore, view: View, step: Step): AsyncGenerator<Text> {
  const was = before(view.fold, step).state?.roots.workspace;
  const is = step.sealed?.state.roots.workspace;
  if (!was || !is || was === is || HANDING.has(step.intent.kind)) return;
  for await (const change of diffTrees(store.objects, target(was), target(is))) {
    if (!change.after || change.after.type === "d" || change.kind === "mode") continue;
    const texts = await textsOf(store, change);
    if (!texts) continue;
    const kept = keptLines(texts.before, texts.after);
    const lines = linesIn(texts.after.toString());
    yield { where: "file", path: quotePath(change.path), lines, own: (at) => (kept[at] ?? 0) < 0 };
  }
}
