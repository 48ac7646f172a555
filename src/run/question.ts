/** Questions to people about calls of a run, and which calls wait for an answer. */
import { randomUUID } from "node:crypto";
import { orAbort } from "../scope/scope.ts";
import type { Json } from "../trace/ports.ts";
import type { Writer } from "../trace/writer.ts";
import { noteWaiting } from "./lifecycle.ts";
import { parsePattern } from "./pattern.ts";

export interface Question {
  n: number;
  tool: string;
  tier: string;
  input: Json;
  /** Pattern for calls like it. */
  always: string;
}

export type Answer =
  /** `always`: a pattern for calls that are let pass from now on. */
  { kind: "allow"; always?: string } | { kind: "deny"; reason?: string } | { kind: "rewrite"; input: Json };

/** What somebody says of a call. `none`: nothing, and why. */
export type Word = Answer | { kind: "none"; why: string };

/** Who is asked. */
export interface Asked {
  send(event: ({ type: "ask"; id: string } & Question) | { type: "withdrawn"; id: string }): void;
  closed: AbortSignal;
  /** So long a question waits, in ms; without it for ever. */
  timeoutMs?: number | undefined;
}

export interface Questions {
  /** Resolves with what is said. Rejects once `signal` aborts. */
  ask(of: Asked, question: Question, signal: AbortSignal): Promise<Word>;
  /** Waits with step `n` for gates that are not there until `come` resolves. Rejects once `signal` aborts. */
  wait(n: number, gates: readonly string[], come: Promise<void>, signal: AbortSignal): Promise<void>;
  /** Throws a sentence where nobody asks that (any more). */
  answer(id: string, answer: Answer): void;
}

export function makeQuestions(writer: Writer): Questions {
  const open = new Map<string, { n: number; answer: (answer: Answer) => void }>();
  const held = new Set<{ n: number; gates: readonly string[] }>();
  let told = "; ";
  const tellWaiting = async (): Promise<void> => {
    const steps = [...new Set([...open.values(), ...held].map(({ n }) => n))].sort((a, b) => a - b);
    const gates = [...new Set([...held].flatMap((each) => each.gates))].sort();
    const now = `${steps}; ${gates}`;
    if (told === now) return;
    told = now;
    await noteWaiting(writer, { steps, gates });
  };
  return {
    ask: async ({ send, closed, timeoutMs }, question, signal) => {
      const id = randomUUID();
      let timer: NodeJS.Timeout | undefined;
      const ends = new AbortController();
      const word = new Promise<Word>((resolve, reject) => {
        open.set(id, { n: question.n, answer: resolve });
        if (timeoutMs !== undefined)
          timer = setTimeout(() => resolve({ kind: "none", why: "the gate did not answer in time" }), timeoutMs);
        const away = (): void => resolve({ kind: "none", why: "the gate went away before it answered" });
        closed.addEventListener("abort", away, { once: true, signal: ends.signal });
        signal.addEventListener("abort", () => reject(signal.reason), { once: true, signal: ends.signal });
        if (closed.aborted) away();
        if (signal.aborted) reject(signal.reason);
      });
      // Whoever awaits it sees the error, behind the note.
      word.catch(() => {});
      try {
        await tellWaiting();
        send({ type: "ask", id, ...question });
        return await word;
      } finally {
        clearTimeout(timer);
        ends.abort();
        // Whoever answered knows; all others are told.
        if (open.delete(id)) send({ type: "withdrawn", id });
        await tellWaiting();
      }
    },
    wait: async (n, gates, come, signal) => {
      const waits = { n, gates };
      held.add(waits);
      try {
        await tellWaiting();
        await orAbort(come, signal);
      } finally {
        held.delete(waits);
        await tellWaiting();
      }
    },
    answer: (id, answer) => {
      const question = open.get(id);
      if (!question) throw new Error("Nobody waits for that answer any more.");
      if (answer.kind === "allow" && answer.always !== undefined) parsePattern(answer.always);
      open.delete(id);
      question.answer(answer);
    },
  };
}
