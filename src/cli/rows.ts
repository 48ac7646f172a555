/** Rows of a log: a step as a person sees it. */

import { masked } from "../meta/mask.ts";
import { MOST_FILES } from "../scope/changes.ts";
import { getBytes, getItem, ownWords, textOf } from "../scope/thread.ts";
import { parseLink } from "../trace/bytes.ts";
import type { OutcomeFacts } from "../trace/frame.ts";
import type { Json, Link } from "../trace/ports.ts";
import { isContainer, type Step, tierOf } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { isMisread } from "./errors.ts";
import { clip, type Output, plain } from "./output.ts";
import { counted } from "./words.ts";

export interface Row {
  /** Hash of the intent frame: a name before there is a commit. */
  frame: string;
  n: number;
  /** Null until sealed. */
  id: string | null;
  kind: string;
  status: string;
  tier: string;
  summary: string;
  scope: string;
  parents: string[];
  /** RFC 3339, of the intent. */
  at: string;
  thread: string | null;
  /** Number of the container it ran in, of the model step that asked for it. */
  inside: number | null;
  turn: number | null;
  attempts: number;
  changes: { files: number; added: number; removed: number } | null;
  /** How many entries came that no state can hold: sockets, pipes, files that cannot be read. */
  leftOut: number;
}

/** What a step brought that no state can hold: how many, by what they are. */
export const leftOutOf = ({ outcomeWitness }: Step): { [why: string]: number } =>
  (outcomeWitness.leftOut as { [why: string]: number } | undefined) ?? {};

/** @param live whether somebody drives the scope: if not, what has no outcome is in doubt. */
export async function rowOf(store: EmbeddedStore, scope: string, step: Step, live: boolean): Promise<Row> {
  const changes = step.outcomeWitness.changes as Row["changes"] | undefined;
  // A call that nobody performed: rows know it as one that was stopped before it began.
  const notRun = step.outcome?.status === "not-run";
  const mayHaveActed = step.outcomeWitness.inDoubt === true;
  return {
    frame: step.frame,
    n: step.n,
    id: step.sealed?.id ?? null,
    kind: step.intent.kind,
    status: notRun ? "aborted" : (step.outcome?.status ?? (live ? "intent" : "in-doubt")),
    tier: tierOf(step),
    summary: `${masked(await readable(summaryOf(store, step)))}${notRun ? " (not run)" : ""}${mayHaveActed ? " (may have acted)" : ""}`,
    scope,
    parents: step.sealed?.parents ?? [],
    at: new Date(step.at).toISOString(),
    thread: step.intent.thread ?? null,
    inside: step.links.inside ?? null,
    turn: step.links.turn ?? null,
    attempts: step.attempts,
    changes: changes ?? null,
    leftOut: Object.values(leftOutOf(step)).reduce((all, each) => all + each, 0),
  };
}

/** What an imported run tells need not be told as Shepherd does it: then the rest of it can still be read. */
async function readable(summary: Promise<string>): Promise<string> {
  try {
    return await summary;
  } catch (error) {
    if (isMisread(error)) return "(unreadable)";
    throw error;
  }
}

async function readJson(store: EmbeddedStore, step: Step): Promise<Json> {
  const of = step.intent.what;
  if (!of || !parseLink(of)) return null;
  try {
    return JSON.parse((await getBytes(store, of)).toString()) as Json;
  } catch {
    return null;
  }
}

async function summaryOf(store: EmbeddedStore, step: Step): Promise<string> {
  const { kind } = step.intent;
  const named = (key: string): string =>
    typeof step.witness[key] === "string" || typeof step.witness[key] === "number" ? String(step.witness[key]) : "";
  switch (kind) {
    case "run":
    case "command": {
      const task = (await readJson(store, step)) as { worker?: string; text?: string; model?: string } | null;
      return plain(task?.text ?? "(unreadable)");
    }
    case "model": {
      const last =
        step.outcome?.threads?.main?.append?.at(-1) ??
        Object.values(step.outcome?.threads ?? {})[0]?.append?.at(-1) ??
        step.outcome?.result;
      if (!last) return step.outcome ? errorOf(store, step.outcome) : "(thinking)";
      const item = await getItem(store, last);
      const said = textOf(item, " ").trim();
      const calls = item.content.filter((block) => block.type === "call").length;
      return plain(said) || counted(calls, "call");
    }
    case "tool": {
      const call = (await readJson(store, step)) as { name?: string; input?: { [key: string]: Json } } | null;
      if (!call) return "(unreadable)";
      const { name = "?", input = {} } = call;
      const main = input.command ?? input.cmd ?? input.path ?? input.file_path ?? input.filePath ?? input.pattern;
      return plain(`${name === "bash" ? "" : `${name} `}${typeof main === "string" ? main : JSON.stringify(input)}`);
    }
    case "inject":
      // As it was typed, whatever an agent has put around it.
      if (Array.isArray(step.witness.said))
        return plain((await Promise.all((step.witness.said as Link[]).map((each) => wordsIn(store, each)))).join(" "));
      return saidIn(store, Object.values(step.outcome?.threads ?? {})[0]?.append ?? []);
    case "message":
      return saidIn(store, Object.values(step.outcome?.threads ?? {})[0]?.append ?? []);
    case "compact":
      return "the agent goes on with a summary of its conversation";
    case "rewrite":
      return `what came of step ${named("of")} is told otherwise: ${await saidIn(store, step.intent.what ? [step.intent.what] : [])}`;
    case "handoff": {
      const from = named("from") ? `the files of step ${named("step")} of ${named("from")}: ` : "";
      return `${from}${await saidIn(store, step.intent.what ? [step.intent.what] : [])}`;
    }
    case "revert":
      return `to step ${named("to")}`;
    case "merge":
    case "landing":
    case "sync":
      return named("from");
    case "undo":
      return `operation ${named("undoes")}`;
    case "work":
      if (step.outcome?.egress) return "connected outside of any call";
      return step.outcome?.background ? "written in the background" : "written by the command";
    case "external":
      return "changed outside of any run";
    case "effect": {
      // What a program declared, or its body asked for.
      const call = (await readJson(store, step)) as { name?: string; input?: Json } | null;
      if (!call) return isContainer(step.intent) ? "(container)" : "";
      const given = call.input === null || call.input === undefined ? "" : ` ${JSON.stringify(call.input)}`;
      const words = plain(`${call.name}${given}`);
      return words.length > LONGEST ? `${words.slice(0, LONGEST).toWellFormed()}…` : words;
    }
    default:
      return isContainer(step.intent) ? "(container)" : "";
  }
}

/** Much of what an agent is told is not for a row. */
const LONGEST = 500;

/** What somebody said: the user, where any of these messages is a user's. */
async function saidIn(store: EmbeddedStore, messages: readonly Link[]): Promise<string> {
  const items = await Promise.all(messages.map((each) => getItem(store, each)));
  const texts = (role: string | null): string[] =>
    items
      .filter((item) => role === null || item.role === role)
      .map(ownWords)
      .filter(Boolean);
  const said = texts("user").at(-1) ?? texts(null).at(-1) ?? "";
  return plain(said.length > LONGEST ? `${said.slice(0, LONGEST).toWellFormed()}…` : said);
}

const wordsIn = async (store: EmbeddedStore, message: Link): Promise<string> =>
  textOf(await getItem(store, message), " ");

/** What a provider said that did not answer, or why it was not asked. */
async function errorOf(store: EmbeddedStore, { error }: OutcomeFacts): Promise<string> {
  if (typeof error !== "string" || !parseLink(error)) return "";
  const bytes = await getBytes(store, error as Link).catch(() => Buffer.alloc(0));
  return plain(bytes.toString().slice(0, 200));
}

const MARKS: { [status: string]: [string, Parameters<Output["style"]>[0]] } = {
  done: ["", "green"],
  failed: ["✗ failed", "red"],
  denied: ["✗ denied", "red"],
  aborted: ["✗ aborted", "yellow"],
  cut: ["✂ cut", "yellow"],
  conflict: ["✗ conflict", "red"],
  "in-doubt": ["? in doubt", "yellow"],
  intent: ["… running", "cyan"],
};

/** Lines that changed; they are not counted beyond some files. */
export const linesOf = ({ files, added, removed }: NonNullable<Row["changes"]>): string =>
  `+${added} -${removed}${files > MOST_FILES ? ` in ${MOST_FILES} of them` : ""}`;

/** One line for a terminal of `width` columns; through a pipe nothing is cut. */
export function formatRow(
  row: Pick<Row, "n" | "id" | "kind" | "status" | "summary" | "changes" | "leftOut">,
  out: Output,
  graph = "*",
  tags: readonly string[] = [],
): string {
  const n = String(row.n).padStart(3);
  const id = (row.id ?? "·······").slice(0, 7);
  const kind = row.kind.padEnd(7);
  const [mark, style] = MARKS[row.status] ?? [row.status, "yellow"];
  const { changes } = row;
  const lines =
    changes && changes.files > 0 ? `  ${changes.files === 1 ? "" : `${changes.files} files `}${linesOf(changes)}` : "";
  const named = tags.map((tag) => `  @${tag}`).join("");
  const delta = `${lines}${named}${row.leftOut > 0 ? `  (${row.leftOut} left out)` : ""}`;
  if (!out.terminal) return `${graph} ${n}  ${id}  ${kind} · ${row.summary}${delta}${mark ? `  ${mark}` : ""}`;
  const fixed = graph.length + 1 + n.length + 2 + 7 + 2 + kind.length + 3 + delta.length + (mark ? mark.length + 2 : 0);
  const summary = clip(row.summary, Math.max(10, out.width - fixed));
  return `${graph} ${out.style("bold", n)}  ${out.style("yellow", id)}  ${out.style("cyan", kind)} · ${summary}${out.style("dim", delta)}${mark ? `  ${out.style(style, mark)}` : ""}`;
}
