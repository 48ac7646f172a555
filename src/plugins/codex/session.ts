/**
 * Codex's own record of a conversation, its rollout: one file of JSON lines, which it only appends to. It goes on from any prefix of it, and
 * takes the id of the conversation from its first line and its name. Tried with 0.169.0.
 */
import type { Canonical } from "../../gateway/protocol.ts";
import { textOf } from "../../scope/thread.ts";
import type { Place } from "../place.ts";
import { isWord } from "./resume.ts";

/** No conversation begins then: the place of a record must follow from the name of the conversation alone. */
const DAY = "2025-01-01";

/** Below the configuration directory. */
export const sessionPath = (_workspace: string, session: string): string =>
  `sessions/${DAY.replaceAll("-", "/")}/rollout-${DAY}T00-00-00-${session}.jsonl`;

/** A record in which nothing was said. It is only by this that a conversation has the id that we give it, in its first request too. */
export function seed(workspace: string, session: string): Buffer {
  const timestamp = `${DAY}T00:00:00.000Z`;
  const about = {
    id: session,
    timestamp,
    cwd: workspace,
    originator: "codex_exec",
    cli_version: "0.0.0",
    source: "exec",
  };
  return Buffer.from(`${JSON.stringify({ timestamp, type: "session_meta", payload: about })}\n`);
}

/** With these words it goes on where it has made room, behind what its user had said. */
const SUMMARY = "Another language model started to solve this problem and produced a summary";

/** With these it asks for that. */
const SUMMARIZE = "You are performing a CONTEXT CHECKPOINT COMPACTION.";

export function summarizes(body: Buffer): boolean {
  if (!body.includes(SUMMARIZE)) return false;
  const { input } = JSON.parse(body.toString()) as {
    input?: Array<{ role?: string; content?: Array<{ text?: string }> }>;
  };
  const last = input?.at(-1);
  return last?.role === "user" && last.content?.[0]?.text?.startsWith(SUMMARIZE) === true;
}

export const compacts = ({ messages }: Canonical): boolean =>
  messages.some((item) => item.role === "user" && textOf(item).includes(SUMMARY));

interface Line {
  type?: string;
  payload?: { type?: string; role?: string; call_id?: string; content?: Array<{ text?: string }>; message?: string };
}

type Said = "model" | "result" | "context" | "user" | "word" | "other";

function kindOf({ type, payload }: Line): Said {
  if (type !== "response_item") return type === "world_state" || type === "turn_context" ? "context" : "other";
  const { type: what = "", role, call_id } = payload ?? {};
  if (what.endsWith("_output") && call_id !== undefined) return "result";
  if (role === "user") return isWord(payload!) ? "word" : "user";
  return role === "developer" || role === "system" ? "context" : "model";
}

function* linesOf(record: Buffer): Generator<{ line: Line; at: number; end: number }> {
  for (let at = 0; at < record.length; ) {
    const end = record.indexOf(0x0a, at) + 1;
    // A line that is not whole was still being written.
    if (end === 0) return;
    try {
      yield { line: JSON.parse(record.toString("utf8", at, end)) as Line, at, end };
    } catch {
      // It counts for nothing, as it does for Codex.
    }
    at = end;
  }
}

/** The calls of which it has results. */
export function results(record: Buffer): Set<string> {
  const ids = new Set<string>();
  for (const { line } of linesOf(record)) if (kindOf(line) === "result") ids.add(line.payload!.call_id!);
  return ids;
}

/** The record up to a place; null where it does not come so far, or where no cut gives what the agent had there. */
export function cut(record: Buffer, { turns, answered, made, open, first }: Place): Buffer | null {
  const results = answered.length + made.length > 0;
  // Some calls of a turn have results, and some do not: it has no record of that.
  if (open.length > 0 && results) return null;
  // Before the first answer, and before one that is still to be acted on: it asks for that again.
  const before = turns === 0 || open.length > 0;
  const missing = new Set(answered);
  const late = new Set(made);
  const unasked = new Set(made);
  const unanswered = new Set<string>();
  let turn = 0;
  let speaks = false;
  let asked = false;
  // Where what the model was last told ends, and where the place is.
  let heard = -1;
  let end = -1;
  // What it says of itself behind a summary comes before it asks again.
  let behind = !first.includes(SUMMARY);
  for (const { line, end: after } of linesOf(record)) {
    const kind = kindOf(line);
    const call = line.payload?.call_id;
    if (line.type === "compacted") {
      if (behind) break;
      behind = first.includes(line.payload?.message ?? SUMMARY);
      asked = behind;
      heard = after;
      continue;
    }
    if (!behind) continue;
    // By how much was said it decides whether it makes room before it asks again.
    if (line.payload?.type === "token_count" && !speaks) {
      if (heard >= 0) heard = after;
      if (end >= 0 && results) end = after;
    }
    if (kind === "other" || kind === "word") continue;
    if (kind === "model") {
      if (!speaks) turn++;
      speaks = true;
      if (turn > turns || (before && turn === turns)) break;
      if (call !== undefined) unanswered.add(call);
      if (call !== undefined) unasked.delete(call);
      if (turn === turns && (!results || (missing.size === 0 && unasked.size === 0))) end = after;
      continue;
    }
    speaks = false;
    // What it finds out itself before it asks again belongs to the place, and not what somebody says then.
    if (kind === "user" && end >= 0) break;
    heard = after;
    asked ||= kind === "user";
    if (kind === "result") {
      missing.delete(call!);
      late.delete(call!);
      unanswered.delete(call!);
    }
    if (turn === turns && results && missing.size === 0 && unasked.size === 0) end = after;
  }
  for (const call of late) unanswered.delete(call);
  if (unanswered.size > 0) return null;
  if (before) return asked && turn >= turns - 1 ? record.subarray(0, heard) : null;
  return end < 0 ? null : record.subarray(0, end);
}

/** The record with another result of a call, or with one of a call that had none. */
export function rewrite(record: Buffer, call: string, text: string): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  let asks: Line | null = null;
  for (const { line, at, end } of linesOf(record)) {
    if (line.payload?.call_id !== call) continue;
    const kind = kindOf(line);
    if (kind === "model") asks = line;
    if (kind !== "result") continue;
    asks = null;
    parts.push(record.subarray(from, at), lineOf({ ...line, payload: { ...line.payload, output: text } }));
    from = end;
  }
  parts.push(record.subarray(from));
  if (asks) parts.push(lineOf(resultOf(asks, call, text)));
  return Buffer.concat(parts);
}

const lineOf = (line: object): Buffer => Buffer.from(`${JSON.stringify(line)}\n`);

const resultOf = ({ payload, ...line }: Line, call: string, output: string): object => {
  const type = payload?.type === "custom_tool_call" ? "custom_tool_call_output" : "function_call_output";
  return { ...line, payload: { type, call_id: call, output } };
};
