/** What Claude Code's tools are to a scope, and its sub-agents. */
import type { ToolTraits } from "../../gateway/calls.ts";
import type { Call } from "../../scope/thread.ts";

/** They read and change no file of the workspace. Whatever is not named is taken to write. */
const READING: ReadonlySet<string> = new Set([
  ...["Read", "Glob", "Grep", "LS", "NotebookRead", "WebFetch", "WebSearch", "TodoRead", "TodoWrite", "ToolSearch"],
  ...["TaskOutput", "BashOutput", "AgentOutputTool", "AskUserQuestion", "ListMcpResourcesTool", "ReadMcpResourceTool"],
  ...["TaskGet", "TaskList", "TaskCreate", "TaskUpdate", "LSP"],
]);

/** They start a sub-agent. */
const AGENTS: ReadonlySet<string> = new Set(["Agent", "Task"]);

export function traits({ name }: Call): ToolTraits {
  if (AGENTS.has(name)) return { container: true };
  return READING.has(name) ? { shared: true } : {};
}

export function taskOf({ name, input }: Call): string | null {
  const { prompt } = (input ?? {}) as { prompt?: unknown };
  return AGENTS.has(name) && typeof prompt === "string" && prompt !== "" ? prompt : null;
}
