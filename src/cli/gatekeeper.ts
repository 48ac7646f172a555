/** The person at a gate: is asked about one call at a time, in the order in which they came. */
import { createInterface, type Interface } from "node:readline/promises";
import { masked, maskedIn, maskedLines } from "../meta/mask.ts";
import type { Decided, GateEvent } from "../run/gate.ts";
import { mainOf } from "../run/pattern.ts";
import type { Answer } from "../run/question.ts";
import { encodeJson } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import { callLines } from "./asked.ts";
import { ring } from "./bell.ts";
import { clip, columns, type Output, plain } from "./output.ts";
import type { Context } from "./verb.ts";

type Asked = Extract<GateEvent, { type: "ask" }>;

export interface Gatekeeper {
  ask(event: Asked): void;
  /** The answer is not needed any more. */
  withdraw(id: string): void;
  /** Resolves when the person leaves (Ctrl-D). */
  left: Promise<void>;
  close(): void;
}

export function keepGate(
  { out }: Context,
  run: string,
  send: (id: string, answer: Answer) => Promise<Json>,
): Gatekeeper {
  const queue: Asked[] = [];
  let closed = false;
  let current: { id: string; gone: AbortController } | null = null;
  let leave = (): void => {};
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });

  const work = async (): Promise<void> => {
    if (current) return;
    if (queue.length > 0) ring();
    for (let event = queue.shift(); event; event = queue.shift()) {
      current = { id: event.id, gone: new AbortController() };
      try {
        const answer = await answerOf(out, run, event, current.gone.signal);
        if (closed) return;
        if (answer) await send(event.id, answer);
        else if (current.gone.signal.aborted) out.warn("shepherd: That is decided otherwise.");
        else return leave();
      } catch (error) {
        // The next is asked all the same.
        if (!closed) out.warn(`shepherd: ${(error as Error).message}`);
      }
      current = null;
    }
  };
  return {
    ask: (event) => {
      queue.push(event);
      void work();
    },
    withdraw: (id) => {
      const at = queue.findIndex((each) => each.id === id);
      if (at >= 0) queue.splice(at, 1);
      if (current?.id === id) current.gone.abort();
    },
    left,
    close: () => {
      closed = true;
      queue.length = 0;
      current?.gone.abort();
    },
  };
}

/** So many lines of a call are shown. */
const LINES = 20;

/** The answer; null where the person has left, or `signal` aborts. */
async function answerOf(out: Output, run: string, event: Asked, signal: AbortSignal): Promise<Answer | null> {
  const { stderr, stdin } = process;
  const lines = callLines(event.tool, event.input).join("\n").split("\n");
  const shown = maskedLines(lines[0] === event.tool ? lines.slice(1) : lines).map(plain);
  const more = shown.length > LINES ? [`  … ${shown.length - LINES} more lines`] : [];
  const width = columns(stderr);
  stderr.write(`${out.style("bold", `${run}, step ${event.n}: ${plain(event.tool)} (${event.tier})`)}\n`);
  for (const line of [...shown.slice(0, LINES), ...more]) stderr.write(`  ${clip(line, width - 3)}\n`);

  const reader = createInterface({ input: stdin, output: stderr });
  const gone = new AbortController();
  reader.on("close", () => gone.abort());
  // The terminal gives it to who reads, not to the process.
  reader.on("SIGINT", () => process.emit("SIGINT", "SIGINT"));
  const either = AbortSignal.any([signal, gone.signal]);
  try {
    return await talk(reader, event, either);
  } catch (error) {
    if ((error as Error).name !== "AbortError") throw error;
    stderr.write("\n");
    return null;
  } finally {
    reader.close();
  }
}

async function talk(reader: Interface, event: Asked, signal: AbortSignal): Promise<Answer> {
  const ask = (question: string): Promise<string> => reader.question(question, { signal });
  const always = clip(plain(masked(event.always)), 50);
  for (;;) {
    const word = (await ask(`y yes, n no, e edit, a always ${always}, then Enter: `)).trim().toLowerCase();
    if (word === "y" || word === "yes") return { kind: "allow" };
    if (word === "a" || word === "always") return { kind: "allow", always: event.always };
    if (word === "n" || word === "no") {
      const reason = (await ask("Why? (told to the agent; Enter for no reason) ")).trim();
      return { kind: "deny", ...(reason !== "" && { reason }) };
    }
    if (word === "e" || word === "edit") {
      const input = await edited(reader, event.input, ask);
      if (input !== undefined) return { kind: "rewrite", input };
    }
  }
}

/** The input as the person wants it: the one text that it is about, where that is one and fits a line, else all of it as JSON. */
async function edited(
  reader: Interface,
  input: Json,
  ask: (question: string) => Promise<string>,
): Promise<Json | undefined> {
  const main = mainOf(input);
  const fields = input as { [key: string]: Json };
  const alone = main?.kind === "command" && fields[main.key] === main.text && !main.text.includes("\n") ? main : null;
  const answer = ask("> ");
  reader.write(alone ? alone.text : JSON.stringify(input));
  const text = await answer;
  if (alone) return { ...fields, [alone.key]: text };
  try {
    const changed = JSON.parse(text) as Json;
    // On the way to the run a number that is none would become null.
    encodeJson(changed);
    return changed;
  } catch (error) {
    process.stderr.write(`That is no input: ${(error as Error).message}\n`);
    return undefined;
  }
}

const WORDS = { allow: "allowed", deny: "denied", rewrite: "changed and allowed", default: "not answered" };

export function tellDecided(out: Output, scope: string, event: Decided): void {
  const { n, tool, input, decision, by, pattern, reason, earlier } = event;
  const about = { scope, n, tool, input: maskedIn(input) };
  out.object({ ...about, decision, by, pattern, reason: reason && masked(reason), earlier });
  const what = plain(masked(mainOf(input)?.text ?? JSON.stringify(input)));
  const why = reason ?? (pattern && (by === "pattern" ? `fits ${pattern}` : `and all that fits ${pattern}`));
  const before = earlier ? " before" : "";
  const line = `${String(n).padStart(3)}  ${WORDS[decision]}${before}  ${plain(tool ?? "?")} ${what}${why ? `  (${plain(masked(why))})` : ""}`;
  out.line(out.terminal ? clip(line, out.width) : line);
}
