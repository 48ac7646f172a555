/**
 * Claude Code's own record of a conversation: one file of JSON lines, which it only appends to. It lags behind what happens, so it is never
 * taken as it is at a step: a later copy is cut. Tried with 2.1.329.
 */
import { join } from "node:path";
import type { Canonical } from "../../gateway/protocol.ts";
import type { Place } from "../place.ts";
import { projectFolder } from "./config.ts";
import { WORD } from "./resume.ts";

/** Below the configuration directory. */
export const sessionPath = (workspace: string, session: string): string =>
  join("projects", projectFolder(workspace), `${session}.jsonl`);

interface Line {
  type?: string;
  subtype?: string;
  isSidechain?: boolean;
  message?: { id?: string; content?: unknown };
  attachment?: { type?: string };
  toolUseResult?: unknown;
}

const parsed = (text: string): Line | null => {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return null;
  }
};

const resultsIn = ({ type, message }: Line): string[] =>
  type === "user" && Array.isArray(message?.content)
    ? (message.content as Array<{ type?: string; tool_use_id?: string }>).flatMap((block) =>
        block.type === "tool_result" && block.tool_use_id ? [block.tool_use_id] : [],
      )
    : [];

/** With these words it goes on where it has made room. */
const SUMMARY = "This session is being continued from a previous conversation";

export const compacts = ({ messages }: Canonical): boolean => {
  const [first] = messages;
  return (
    first?.role === "user" && first.content.some((block) => block.type === "text" && block.text.startsWith(SUMMARY))
  );
};

/** The part of a record behind the summary with which a place begins, with it; the whole up to the first one where it begins with none. */
function partOf(record: Buffer, first: string): { record: Buffer; from: number } | null {
  const summarized = first.startsWith(SUMMARY);
  let from = summarized ? -1 : 0;
  for (let at = 0; at < record.length; ) {
    const next = record.indexOf(0x0a, at) + 1;
    if (next === 0) break;
    const text = record.toString("utf8", at, next);
    if (text.includes('"compact_boundary"') && parsed(text)?.subtype === "compact_boundary" && from >= 0)
      return { record: record.subarray(0, at), from };
    if (summarized && from < 0 && text.includes('"isCompactSummary":true')) {
      const content = parsed(text)?.message?.content;
      if (typeof content === "string" && first.startsWith(content.trimEnd())) from = at;
    }
    at = next;
  }
  return from < 0 ? null : { record, from };
}

/** As `cut`, behind a summary. Some of what was said before may stand behind it too, so that turns cannot be counted. */
function cutBehind(record: Buffer, from: number, { answered, open, last }: Place): Buffer | null {
  const missing = new Set(answered);
  // Where what the model was last told ends: now, and before its first answer behind the summary.
  let heard = -1;
  let first = -1;
  let said = -1;
  let end = -1;
  for (let at = from; at < record.length; ) {
    const next = record.indexOf(0x0a, at) + 1;
    if (next === 0) break;
    const text = record.toString("utf8", at, next);
    const line = parsed(text);
    at = next;
    if (!line || line.isSidechain || text.includes(WORD)) continue;
    if (line.type === "assistant") {
      const blocks = blocksIn(line);
      if (first < 0) first = heard;
      said = at;
      if (blocks.some(({ id }) => id !== undefined && open.includes(id))) return record.subarray(0, heard);
      if (last !== null && blocks.some((block) => block.text === last)) end = at;
      else if (answered.length > 0 && end >= 0) break;
    } else if (line.type === "user") {
      heard = at;
      for (const id of resultsIn(line)) missing.delete(id);
      if (answered.length > 0 && missing.size === 0 && end < 0) end = at;
    } else if (line.type === "attachment") {
      if (heard > said) heard = at;
      if (end > said && answered.length > 0) end = at;
    }
  }
  if (end >= 0) return record.subarray(0, end);
  // Its calls had their results before the summary, which tells of both.
  const before = record.subarray(0, from);
  const carried = open.length === 0 && answered.length > 0 && answered.every((id) => before.includes(id));
  const until = first < 0 ? heard : first;
  return carried && until >= 0 ? record.subarray(0, until) : null;
}

const blocksIn = ({ message }: Line): Array<{ id?: string; text?: string }> =>
  Array.isArray(message?.content) ? (message.content as Array<{ id?: string; text?: string }>) : [];

/** The record up to a place; null where it does not come so far, or where no cut gives what the agent had there. */
export function cut(whole: Buffer, place: Place): Buffer | null {
  const { turns, answered, open, before, said: more } = place;
  // Some calls of a turn have results, and some do not: it has no record of that.
  if (open.length > 0 && answered.length > 0) return null;
  // Where nothing was acted on yet it begins anew, with the same words.
  if (open.length > 0 && turns === 1) return null;
  const part = partOf(whole, place.first);
  if (!part) return null;
  if (part.from > 0) return cutBehind(part.record, part.from, place);
  const { record } = part;
  let turn = 0;
  let of: string | undefined;
  const missing = new Set(answered);
  const unheard = new Set(before);
  let end = -1;
  let heard = -1;
  // Where the last line of the model ends.
  let said = -1;
  for (let at = 0; at < record.length; ) {
    const next = record.indexOf(0x0a, at) + 1;
    // A line that is not whole was still being written.
    if (next === 0) break;
    const text = record.toString("utf8", at, next);
    const line = parsed(text);
    at = next;
    if (!line || line.isSidechain) continue;
    if (line.type === "assistant") {
      if (line.message?.id !== of) turn++;
      of = line.message?.id;
      said = at;
      if (turn === turns && open.length > 0) return heard < 0 ? null : record.subarray(0, heard);
      if (turn > turns) break;
      if (turn === turns && answered.length === 0) end = at;
    } else if (line.type === "user") {
      of = undefined;
      // Where it went on without a word, the word that it was given stands there; it would not go on behind it once more.
      if (text.includes(WORD)) continue;
      heard = at;
      for (const id of resultsIn(line)) {
        missing.delete(id);
        unheard.delete(id);
      }
      if (turn === turns && answered.length > 0 && missing.size === 0 && end < 0) end = at;
    } else if (line.type === "attachment") {
      // What somebody told it while it worked, where that is still to come.
      if (turn === turns && !more && line.attachment?.type === "queued_command") break;
      // What it found out itself before it asked again, and would not find out anew: that a file has changed since it read it.
      if (heard > said) heard = at;
      if (end > said && answered.length > 0) end = at;
    }
  }
  // Killed before it had written down the answer that it acted on.
  if (open.length > 0 && turn === turns - 1 && unheard.size === 0 && heard >= 0) return record.subarray(0, heard);
  return end < 0 ? null : record.subarray(0, end);
}

/** The record with another result of a call. */
export function rewrite(record: Buffer, call: string, text: string): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < record.length; ) {
    const next = record.indexOf(0x0a, at) + 1 || record.length;
    const line = record.subarray(at, next);
    at = next;
    const told = line.includes(call) ? parsed(line.toString("utf8")) : null;
    if (!told || !resultsIn(told).includes(call)) {
      parts.push(line);
      continue;
    }
    const content = (told.message!.content as Array<{ tool_use_id?: string; is_error?: boolean }>).map((block) =>
      block.tool_use_id === call
        ? { ...block, content: text, ...(block.is_error !== undefined && { is_error: false }) }
        : block,
    );
    // What it shows its user, and knows of files by.
    const shown = told.toolUseResult;
    const stdout = shown !== null && typeof shown === "object" && "stdout" in shown;
    const toolUseResult = stdout ? { ...shown, stdout: text } : typeof shown === "string" ? text : shown;
    parts.push(Buffer.from(`${JSON.stringify({ ...told, toolUseResult, message: { ...told.message, content } })}\n`));
  }
  return Buffer.concat(parts);
}
