/**
 * A model that reads its answers from a file: JSON lines, one assistant turn a line. Which line is told by the number of assistant turns
 * in the request, so that a fork is answered like its parent until it is given another script.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Block } from "../scope/thread.ts";
import { decodeJson } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import { assistantTurns, ModelError, type ModelEvent, type ModelPort } from "./model.ts";

interface Turn {
  say: string;
  call: Array<{ tool: string; input: Json }>;
  /** Before each block, in ms. */
  delay: number;
}

/**
 * The port of a script. Reads and checks the whole file at once; throws a `ModelError` that names the line, where there is one.
 *
 *     {"say": "text", "call": [{"tool": "bash", "input": {"command": "ls"}}]}
 *
 * A line without `call` ends the run. `delay` (ms before each block) slows an answer down. Empty lines are passed over.
 */
export function scriptPort(file: string): ModelPort {
  const turns = parseScript(readScript(file), basename(file));
  return {
    name: `script:${file}`,
    call: (request, signal) => answer(turns, assistantTurns(request.messages), basename(file), signal),
  };
}

function readScript(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ModelError(`The script ${file} cannot be read (${code}): give the path of a file of JSON lines.`, false);
  }
}

async function* answer(
  turns: readonly Turn[],
  index: number,
  name: string,
  signal: AbortSignal,
): AsyncGenerator<ModelEvent> {
  const turn = turns[index];
  if (!turn)
    throw new ModelError(
      `The script ${name} has no turn ${index + 1}: it ends after turn ${turns.length}. Add a line, or give another script.`,
      false,
    );
  const blocks: Block[] = turn.say === "" ? [] : [{ type: "text", text: turn.say }];
  for (const [k, { tool, input }] of turn.call.entries())
    blocks.push({ type: "call", id: `call_${index + 1}_${k + 1}`, name: tool, input });
  for (const block of blocks) {
    if (turn.delay > 0) await sleep(turn.delay, undefined, { signal });
    yield { type: "block", block };
  }
  yield { type: "end", stop: turn.call.length > 0 ? "calls" : "end", usage: { input: 0, output: 0 } };
}

const isObject = (value: Json | undefined): value is { [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The turns of a script; throws a `ModelError` for the first line that is none. */
export function parseScript(bytes: Uint8Array, name: string): Turn[] {
  const turns: Turn[] = [];
  let line = 0;
  for (let from = 0; from <= bytes.length; ) {
    const end = bytes.indexOf(0x0a, from);
    const text = bytes.subarray(from, end < 0 ? bytes.length : end);
    from = end < 0 ? bytes.length + 1 : end + 1;
    line++;
    if (text.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)) continue;
    const turn = parseTurn(text);
    if (typeof turn === "string") throw new ModelError(`Line ${line} of the script ${name} ${turn}.`, false);
    turns.push(turn);
  }
  return turns;
}

const KEYS = ["say", "call", "delay"];

/** A turn, or what is wrong with its line. */
function parseTurn(text: Uint8Array): Turn | string {
  let value: Json;
  try {
    value = decodeJson(text);
  } catch (error) {
    return `is not JSON: ${(error as Error).message.replace(/\.$/, "")}`;
  }
  if (!isObject(value)) return 'is no object: write {"say": "…"}';
  const odd = Object.keys(value).find((key) => !KEYS.includes(key));
  if (odd !== undefined) return `has an unknown member ${JSON.stringify(odd)}: a turn has say, call and delay`;
  const { say = "", call = [], delay = 0 } = value;
  if (typeof say !== "string") return "has a `say` that is no text";
  if (value.say === undefined && value.call === undefined) return "has neither `say` nor `call`";
  if (typeof delay !== "number" || !(delay >= 0 && delay <= 60_000))
    return "has a `delay` that is no number of milliseconds up to 60000";
  if (!Array.isArray(call)) return "has a `call` that is no list";
  const calls: Turn["call"] = [];
  for (const [at, each] of call.entries()) {
    if (!isObject(each) || typeof each.tool !== "string") return `has no \`tool\` in call ${at + 1}`;
    const extra = Object.keys(each).find((key) => key !== "tool" && key !== "input");
    if (extra !== undefined)
      return `has an unknown member ${JSON.stringify(extra)} in call ${at + 1}: a call has tool and input`;
    calls.push({ tool: each.tool, input: each.input ?? {} });
  }
  return { say, call: calls, delay };
}
