/** What a step was asked to do, as people read it: a task, a command, a call. */
import type { Json } from "../trace/ports.ts";

/** A call in lines: a command as it was typed, other input member by member. */
export function callLines(name: string, input: unknown): string[] {
  if (input === null || typeof input !== "object" || Array.isArray(input)) return [`${name}(${JSON.stringify(input)})`];
  const members = Object.entries(input as { [key: string]: Json });
  if (members.length === 1 && members[0]![0] === "command" && typeof members[0]![1] === "string")
    return commandLines(members[0]![1]);
  return [name, ...members.flatMap(([key, value]) => memberLines(key, value))];
}

const commandLines = (command: string): string[] =>
  command
    .replace(/\n$/, "")
    .split("\n")
    .map((line, i) => `${i === 0 ? "$" : ">"} ${line}`);

function memberLines(key: string, value: Json): string[] {
  if (typeof value !== "string") return [`  ${key}: ${JSON.stringify(value)}`];
  const lines = value.replace(/\n$/, "").split("\n");
  return lines.length === 1 ? [`  ${key}: ${lines[0]}`] : [`  ${key}:`, ...lines.map((line) => `    ${line}`)];
}

/** What was asked for by a step of a kind, with a word for it; null where that is said by what it answered. */
export function askedOf(kind: string, input: string | null): { word: string; lines: string[] } | null {
  if (input === null || !["run", "command", "tool", "effect"].includes(kind)) return null;
  let asked: { name?: unknown; input?: unknown; text?: unknown; worker?: unknown } | null;
  try {
    asked = JSON.parse(input);
  } catch {
    return null;
  }
  if ((kind === "tool" || kind === "effect") && typeof asked?.name === "string")
    return { word: kind === "tool" ? "call" : "effect", lines: callLines(asked.name, asked.input) };
  if (typeof asked?.text !== "string") return null;
  return kind === "command" || asked.worker === "command"
    ? { word: "command", lines: commandLines(asked.text) }
    : { word: "task", lines: asked.text.split("\n") };
}
