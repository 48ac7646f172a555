/** A provider that is asked once, and answers from a file from then on. */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { ModelError, type ModelEvent, type ModelPort, type ModelRequest } from "../agent/model.ts";
import { modelOf } from "../agent/models.ts";
import type { Model } from "../agent/run.ts";
import { encodeJson } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";

interface Recording {
  request: ModelRequest;
  events: ModelEvent[];
}

export interface RecordedOptions {
  /** Whether what the file has not is asked of the model and added to it. Without it: where `SHEPHERD_RECORD=1`. */
  readonly record?: boolean;
}

/**
 * A model that answers from `file`, one JSON object a line: a request as it was asked, and what came of it. While recording, what the file has not
 * is asked of `model` and appended; otherwise a request that the file has not fails, with the first place in which it differs from the one that
 * is nearest, and nobody is asked. A request that was asked several times has its answers in their order, and then the last of them. Keys and
 * addresses of providers are in no request, and so in no file; what the conversation says is.
 */
export function recorded(file: string, model: Model, options: RecordedOptions = {}): ModelPort {
  const recording = options.record ?? process.env.SHEPHERD_RECORD === "1";
  const given = new Map<string, number>();
  const known = existsSync(file) ? read(file) : [];
  const real = recording || typeof model !== "string" ? modelOf(model, "recorded") : null;
  const { params } = real ?? known[0]?.request ?? {};
  return {
    name: real?.name ?? known[0]?.request.model ?? String(model),
    ...(params && { params }),
    ...(real?.context !== undefined && { context: real.context }),
    call: async function* (request, signal) {
      const key = keyOf(request);
      const all = known.filter((each) => keyOf(each.request) === key);
      const at = given.get(key) ?? 0;
      given.set(key, at + 1);
      if (all.length > 0 && (!recording || at < all.length)) return yield* all[Math.min(at, all.length - 1)]!.events;
      if (!recording || !real) throw new ModelError(absent(file, request, known), false);
      const events: ModelEvent[] = [];
      for await (const event of real.call(request, signal)) {
        if (event.type !== "delta") events.push(plain(event));
        // Nobody reads on behind the last event.
        if (event.type === "end") {
          known.push({ request, events });
          appendFileSync(file, `${JSON.stringify({ request, events })}\n`);
        }
        yield event;
      }
    },
  };
}

/** Without the bytes of a provider's answer, and how long it took: neither is in a conversation. */
function plain(event: ModelEvent): ModelEvent {
  if (event.type !== "end") return event;
  const { raw: _, first: __, waited: ___, ...rest } = event;
  return rest;
}

const keyOf = (request: ModelRequest): string =>
  Buffer.from(encodeJson(JSON.parse(JSON.stringify(request)) as Json)).toString();

function read(file: string): Recording[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .flatMap((line, at) => {
      if (line.trim() === "") return [];
      try {
        const recording = JSON.parse(line) as Recording;
        if (Array.isArray(recording.request.messages) && Array.isArray(recording.events)) return [recording];
      } catch {
        // told below
      }
      throw new ModelError(`Line ${at + 1} of ${file} is no recording: delete the file, and record anew.`, false);
    });
}

function absent(file: string, request: ModelRequest, known: readonly Recording[]): string {
  const anew = `SHEPHERD_RECORD=1 asks the model and adds what it says.`;
  const parts = known.map(({ request: other }) => partsFrom(other, request));
  const nearest = parts.reduce<{ depth: number; what: string } | null>(
    (best, each) => (best && best.depth >= each.depth ? best : each),
    null,
  );
  if (!nearest) return `${file} has no recordings: ${anew}`;
  return `${file} has no answer to this request; the nearest that it has parts from it in ${nearest.what}. ${anew}`;
}

/** How far two requests are the same, and where they part. */
function partsFrom(one: ModelRequest, other: ModelRequest): { depth: number; what: string } {
  for (const part of ["model", "system", "tools", "params"] as const)
    if (JSON.stringify(one[part]) !== JSON.stringify(other[part])) return { depth: 0, what: `its ${part}` };
  const length = Math.max(one.messages.length, other.messages.length);
  for (let at = 0; at < length; at++) {
    const [a, b] = [one, other].map(({ messages }) => short(messages[at]));
    if (a !== b) return { depth: at + 1, what: `message ${at + 1}: ${a}, and here ${b}` };
  }
  return { depth: length + 1, what: "nothing" };
}

const short = (item: unknown): string => {
  const text = JSON.stringify(item) ?? "nothing";
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
};
