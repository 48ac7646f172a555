/** What a provider's protocol is to the gateway: how to read its requests and its answers, and how to speak its errors. */
import type { Block, Item } from "../scope/thread.ts";
import type { Json } from "../trace/ports.ts";
import type { Tokens } from "./tokens.ts";

export type Members = { [name: string]: Json };

/**
 * A request in canonical form: what is asked, without what only says how the answer is to be sent, or where the provider may cache. Two
 * requests that mean the same have the same one.
 */
export interface Canonical {
  api: string;
  model: string;
  system: Json;
  tools: Json;
  /** All else that was said, as the provider names it. */
  params: Members;
  messages: Item[];
}

/** Counts of tokens: whole numbers. `input` is without what was read from a cache or written into one. */
export interface Usage {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  /** Of `cacheWrite`, what is kept for an hour. */
  cacheWriteHour?: number;
}

/** Why an answer ended. */
export type Stop = "end" | "calls" | "length" | "refused" | "pause" | "other";

export interface End {
  stop: Stop;
  usage: Usage | null;
  /** Where the provider broke it off: its words. */
  error?: string;
  tokens?: Tokens | undefined;
}

/** What an event of an answer brought to its end. */
export interface Heard {
  blocks: Block[];
  end?: End;
}

export type Said = (text: string) => void;

export interface AnswerReader {
  /**
   * Takes in one event of a stream, or a whole answer that came as one. Null for what ends nothing. Never throws: what it cannot read ends nothing.
   * @param said is told the text by which a block has grown
   */
  take(data: string, said?: Said): Heard | null;
  /** What stands when no more comes: the end, where a server leaves out the event that says so. */
  close?(): Heard | null;
  /** The provider's name for the answer, by which a later request may name it. */
  readonly id: string | null;
  /** Whether the answer itself has begun: what comes before is about the call. */
  readonly begun: boolean;
  /** What is known of it so far. */
  readonly usage: Usage | null;
}

export interface Protocol {
  api: "anthropic-messages" | "openai-responses" | "openai-chat";
  provider: Provider;
  /** Reads a request's body. Throws where it is none. */
  canonical(body: Members): Canonical;
  stream(): AnswerReader;
  /** Reads an answer that comes as one object. */
  whole(): AnswerReader;
}

export type Provider = "anthropic" | "openai";

/** The body of an error as the provider writes it. */
export function errorBody(provider: Provider, type: string, message: string): string {
  return provider === "anthropic"
    ? JSON.stringify({ type: "error", error: { type, message } })
    : JSON.stringify({ error: { message, type, param: null, code: type } });
}

export const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A count that a provider gives; 0 for what is none. */
export const countOf = (value: unknown): number =>
  Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0;

/** The object in a text; null where there is none. */
export function parseMembers(data: string): Members | null {
  try {
    const value: unknown = JSON.parse(data);
    return isMembers(value) ? value : null;
  } catch {
    return null;
  }
}

/** Members beyond those named, without those that are null; undefined if there are none. */
export function rest(value: Members, ...known: string[]): Members | undefined {
  const left = Object.entries(value).filter(
    ([name, member]) => !known.includes(name) && member !== null && !(Array.isArray(member) && member.length === 0),
  );
  return left.length > 0 ? Object.fromEntries(left) : undefined;
}

/** Results that follow each other come in the order of their calls; messages of the assistant that do so are one. */
export function joined(items: readonly Item[]): Item[] {
  const made: Item[] = [];
  for (const item of items) {
    const last = made.at(-1);
    if (item.role === "assistant" && last?.role === "assistant")
      made[made.length - 1] = { role: "assistant", content: [...last.content, ...item.content] };
    else made.push(item);
  }
  const place = (item: Item, calls: readonly string[]): number => {
    const at = item.role === "result" ? calls.indexOf(item.call) : -1;
    return at < 0 ? calls.length : at;
  };
  for (let at = 0; at < made.length; at++) {
    const asked = made[at]!;
    if (asked.role !== "assistant") continue;
    let end = at + 1;
    while (made[end]?.role === "result") end++;
    if (end - at < 3) continue;
    const calls = asked.content.flatMap((block) => (block.type === "call" ? [block.id] : []));
    const results = made.slice(at + 1, end).sort((a, b) => place(a, calls) - place(b, calls));
    made.splice(at + 1, results.length, ...results);
  }
  return made;
}

/** The input of a call that came as text; where the text cannot be told from the value, it is kept beside. */
export function parseInput(text: string): { input: Json; raw?: string } {
  try {
    const input = JSON.parse(text === "" ? "{}" : text) as Json;
    return JSON.stringify(input) === text ? { input } : { input, raw: text };
  } catch {
    return { input: text };
  }
}
