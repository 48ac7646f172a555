/** What the bodies of requests have in common, whoever they are for. */
import type { Call } from "../../scope/thread.ts";
import { encodeJson } from "../../trace/bytes.ts";
import type { Json } from "../../trace/ports.ts";

export type Body = { [name: string]: Json };

export const isBlank = (text: string): boolean => text.trim() === "";

/** A call with the text of its input beside it where that cannot be told from the value: a model that reads it again must find what it wrote. */
export function withText(call: Call): Call {
  if (typeof call.extra?.raw === "string" || typeof call.input === "string") return call;
  const text = JSON.stringify(call.input);
  return text === encodeJson(call.input).toString() ? call : { ...call, extra: { ...call.extra, raw: text } };
}

/** The input as text, as the model wrote it. */
export const textOfInput = ({ input, extra }: Call): string => {
  if (typeof extra?.raw === "string") return extra.raw;
  return typeof input === "string" ? input : JSON.stringify(input);
};

/** The input as a value, its members in the order in which the model wrote them. What is no object was none then, either. */
export function inputOf(call: Call): Json {
  const value: unknown = typeof call.extra?.raw === "string" ? parsed(call.extra.raw) : call.input;
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json)
    : { value: value as Json };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The same members, first those that are named. */
export function ordered(value: Body, names: readonly string[]): Body {
  const first = names.filter((name) => name in value).map((name) => [name, value[name]!]);
  return { ...Object.fromEntries(first), ...value };
}
