/**
 * Claude Code's own record of a conversation: one file of JSON lines, which it only appends to. It lags behind what happens, so it is never
 * taken as it is at a step: a later copy is cut. Tried with 2.1.329.
 */
import { join } from "node:path";
import type { Place } from "../place.ts";
import { projectFolder } from "./config.ts";
import { WORD } from "./resume.ts";

/** Below the configuration directory. */
export const sessionPath = (workspace: string, session: string): string =>
  join("projects", projectFolder(workspace), `${session}.jsonl`);

interface Line {
  type?: string;
  isSidechain?: boolean;
  message?: { id?: string; content?: unknown };
  attachment?: { type?: string };
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

/** The record up to a place; null where it does not come so far, or where no cut gives what the agent had there. */
export function cut(record: Buffer, { turns, answered, open, before, said: more }: Place): Buffer | null {
  // Some calls of a turn have results, and some do not: it has no record of that.
  if (open.length > 0 && answered.length > 0) return null;
  // Where nothing was acted on yet it begins anew, with the same words.
  if (open.length > 0 && turns === 1) return null;
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
