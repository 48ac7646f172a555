/** What comes from a model, a tool or a user is not always a value that canonical JSON can hold. This makes it one. */

import type { Json } from "../trace/ports.ts";
import type { Block } from "./thread.ts";

/** Deeper than any input of a tool; well below what the store's parser takes. */
const DEEPEST = 100;

/**
 * The same value where it has a canonical form. Else the nearest one that has: lone surrogates become U+FFFD, numbers that a double
 * cannot hold become strings, what is nested too deeply becomes a sentence, what is no JSON becomes null.
 */
export function plain(value: unknown, depth = 0): Json {
  switch (typeof value) {
    case "string":
      return value.toWellFormed();
    case "number":
      return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value))
        ? value
        : String(value);
    case "boolean":
      return value;
    case "object": {
      if (value === null) return null;
      if (depth >= DEEPEST) return `(nested more than ${DEEPEST} deep)`;
      // Not `map`, which leaves holes.
      if (Array.isArray(value)) return Array.from(value, (each) => plain(each, depth + 1));
      const members = Object.entries(value).filter(([, member]) => member !== undefined);
      return Object.fromEntries(members.map(([key, member]) => [key.toWellFormed(), plain(member, depth + 1)]));
    }
    default:
      return null;
  }
}

/** A block as it is recorded. `taken` holds the ids of the calls before it in its message: a second call of an id gets another one. */
export function plainBlock(block: Block, taken: Set<string>): Block {
  if (block.type === "native")
    return { type: "native", api: block.api, value: plain(block.value) as typeof block.value };
  const extra =
    block.extra && Object.keys(block.extra).length > 0 ? { extra: plain(block.extra) as typeof block.extra } : {};
  if (block.type !== "call") return { type: "text", text: plain(String(block.text)) as string, ...extra };
  const given = typeof block.id === "string" && block.id !== "" ? block.id.toWellFormed() : "call";
  let id = given;
  for (let k = 2; taken.has(id); k++) id = `${given}_${k}`;
  taken.add(id);
  return { type: "call", id, name: plain(String(block.name)) as string, input: plain(block.input), ...extra };
}
