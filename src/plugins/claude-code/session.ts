/**
 * Claude Code's own record of a conversation: one file of JSON lines, which it only appends to. It lags behind what happens, so it is never
 * taken as it is at a step: a later copy is cut. Tried with 2.1.329.
 */
import { createHash } from "node:crypto";
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
function cutBehind(record: Buffer, from: number, { answered, made, open, last }: Place): Buffer | null {
  const asked = [...answered, ...made];
  const calls = turnOf(answered, made);
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
      else if (asked.length > 0 && end >= 0) break;
      calls.asks(blocks, at);
    } else if (line.type === "user") {
      heard = at;
      if (calls.hears(resultsIn(line), at) && end < 0) end = at;
    } else if (line.type === "attachment") {
      if (heard > said) heard = at;
      if (end > said && asked.length > 0) end = at;
    }
  }
  if (end < 0) end = calls.soFar();
  if (end >= 0) return record.subarray(0, end);
  // Its calls had their results before the summary, which tells of both.
  const before = record.subarray(0, from);
  const carried = open.length === 0 && asked.length > 0 && asked.every((id) => before.includes(id));
  const until = first < 0 ? heard : first;
  return carried && until >= 0 ? record.subarray(0, until) : null;
}

const blocksIn = ({ message }: Line): Array<{ id?: string; text?: string }> =>
  Array.isArray(message?.content) ? (message.content as Array<{ id?: string; text?: string }>) : [];

/** Where the calls of a turn have their results in a record. */
function turnOf(answered: readonly string[], made: readonly string[]) {
  const missing = new Set(answered);
  const open = new Set([...answered, ...made]);
  const unasked = new Set(open);
  let told = -1;
  return {
    asks: (blocks: ReadonlyArray<{ id?: string }>, at: number): void => {
      for (const { id } of blocks) if (id !== undefined && unasked.delete(id)) told = at;
    },
    /** Whether all have one now. */
    hears: (ids: readonly string[], at: number): boolean => {
      for (const id of ids) {
        missing.delete(id);
        if (open.delete(id)) told = at;
      }
      return open.size === 0 && told === at;
    },
    /** Where those are told that it has, if only results are missing that are not its own; -1 if not. */
    soFar: (): number => (missing.size === 0 && unasked.size === 0 ? told : -1),
  };
}

/** The record up to a place; null where it does not come so far, or where no cut gives what the agent had there. */
export function cut(whole: Buffer, place: Place): Buffer | null {
  const { turns, answered, made, open, before, said: more } = place;
  const asked = answered.length + made.length > 0;
  // Some calls of a turn have results, and some do not: it has no record of that.
  if (open.length > 0 && asked) return null;
  // Where nothing was acted on yet it begins anew, with the same words.
  if (open.length > 0 && turns === 1) return null;
  const part = partOf(whole, place.first);
  if (!part) return null;
  if (part.from > 0) return cutBehind(part.record, part.from, place);
  const { record } = part;
  let turn = 0;
  let of: string | undefined;
  const calls = turnOf(answered, made);
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
      if (turn === turns) calls.asks(blocksIn(line), at);
      if (turn === turns && !asked) end = at;
    } else if (line.type === "user") {
      of = undefined;
      // Where it went on without a word, the word that it was given stands there; it would not go on behind it once more.
      if (text.includes(WORD)) continue;
      heard = at;
      const ids = resultsIn(line);
      for (const id of ids) unheard.delete(id);
      if (turn === turns && calls.hears(ids, at) && end < 0) end = at;
    } else if (line.type === "attachment") {
      // What somebody told it while it worked, where that is still to come.
      if (turn === turns && !more && line.attachment?.type === "queued_command") break;
      // What it found out itself before it asked again, and would not find out anew: that a file has changed since it read it.
      if (heard > said) heard = at;
      if (end > said && asked) end = at;
    }
  }
  if (end < 0) end = calls.soFar();
  // Killed before it had written down the answer that it acted on.
  if (open.length > 0 && turn === turns - 1 && unheard.size === 0 && heard >= 0) return record.subarray(0, heard);
  return end < 0 ? null : record.subarray(0, end);
}

/** The record with another result of a call, or with one of a call that had none. */
export function rewrite(record: Buffer, call: string, text: string): Buffer {
  const parts: Buffer[] = [];
  let asks: Line | null = null;
  let told = false;
  for (let at = 0; at < record.length; ) {
    const next = record.indexOf(0x0a, at) + 1 || record.length;
    const bytes = record.subarray(at, next);
    at = next;
    const line = bytes.includes(call) ? parsed(bytes.toString("utf8")) : null;
    if (line?.type === "assistant" && blocksIn(line).some(({ id }) => id === call)) asks = line;
    const is = line !== null && resultsIn(line).includes(call);
    parts.push(is ? lineOf(withResult(line, call, text)) : bytes);
    told ||= is;
  }
  if (asks && !told) parts.push(lineOf(resultOf(asks, call, text)));
  return Buffer.concat(parts);
}

const lineOf = (line: object): Buffer => Buffer.from(`${JSON.stringify(line)}\n`);

function withResult(line: Line, call: string, text: string): Line {
  const content = (line.message!.content as Array<{ tool_use_id?: string; is_error?: boolean }>).map((block) =>
    block.tool_use_id === call
      ? { ...block, content: text, ...(block.is_error !== undefined && { is_error: false }) }
      : block,
  );
  // What it shows its user, and knows of files by.
  const shown = line.toolUseResult;
  const stdout = shown !== null && typeof shown === "object" && "stdout" in shown;
  const toolUseResult = stdout ? { ...shown, stdout: text } : typeof shown === "string" ? text : shown;
  return { ...line, toolUseResult, message: { ...line.message, content } };
}

/** The line that tells what came of a call, by that which asks for it. */
function resultOf(asks: Line, call: string, text: string): object {
  const { uuid, timestamp, userType, entrypoint, cwd, sessionId, version, gitBranch } = asks as {
    [member: string]: unknown;
  };
  const content = [{ tool_use_id: call, type: "tool_result", content: text, is_error: false }];
  return {
    parentUuid: uuid,
    isSidechain: false,
    type: "user",
    message: { role: "user", content },
    uuid: uuidOf(`result of ${call}`),
    timestamp,
    toolUseResult: text,
    sourceToolAssistantUUID: uuid,
    ...{ userType, entrypoint, cwd, sessionId, version, gitBranch },
  };
}

/** The same for the same words, so that the same fork has the same record. */
const uuidOf = (words: string): string =>
  createHash("sha256")
    .update(words)
    .digest("hex")
    .slice(0, 32)
    .replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, "$1-$2-4$3-8$4-$5");
