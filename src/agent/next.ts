/** The pure part of the loop: what must happen next follows from the conversation alone. */
import { type Call, type Item, openCalls } from "../scope/thread.ts";

export type Next = { do: "call-model" } | { do: "perform"; calls: Call[] } | { do: "stop" };

/**
 * A conversation that ends with a message that asks for nothing is finished. One with open calls has them performed. In every other the
 * model is asked.
 */
export function next(items: readonly Item[]): Next {
  const calls = openCalls(items);
  if (calls.length > 0) return { do: "perform", calls };
  return items.at(-1)?.role === "assistant" ? { do: "stop" } : { do: "call-model" };
}
