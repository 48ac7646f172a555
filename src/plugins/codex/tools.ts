/** What Codex's tools are to a scope. Tried with 0.169.0. */
import type { ToolTraits } from "../../gateway/calls.ts";
import type { Call, Item } from "../../scope/thread.ts";

/** They read and change no file of the workspace. Whatever is not named is taken to write. */
const READING: ReadonlySet<string> = new Set([
  ...["view_image", "update_plan", "request_user_input", "tool_search", "clock__curr_time"],
  ...["get_goal", "create_goal", "update_goal"],
  ...["list_mcp_resources", "list_mcp_resource_templates", "read_mcp_resource"],
]);

/** They start other agents or wait for them, and these take the lock themselves. */
const AGENTS =
  /^(multi_agent_v\d+_*)?(spawn|wait|resume|close|interrupt|list)_agents?$|^(multi_agent_v\d+_*)?send_(input|message)$/;

/** So long a command is waited for at most, whatever the model says; then it goes on in the background. */
const LONGEST = 30_000;

export function traits({ name }: Call): ToolTraits {
  // JavaScript, whose calls of tools ask one by one, and waiting for it: itself it asks nobody.
  if (name === "exec" || name === "wait") return { unasked: true, script: true };
  // More input for a command that goes on in the background.
  if (name === "write_stdin") return { unasked: true };
  if (name === "apply_patch") return { alone: true };
  if (name === "exec_command") return { awaited: LONGEST };
  if (AGENTS.test(name)) return { container: true };
  return READING.has(name) ? { shared: true } : {};
}

/** How results begin that tell of no success; the protocol itself has no word for it. */
const FAILED =
  /^(Script failed|apply_patch verification failed|failed to parse function arguments|unsupported call|unable to locate|Exit code: [1-9])|^(?:[^\n]*\n){0,3}Process exited with code [1-9]/;

export function outcome(result: Item): "done" | "failed" | "goes on" {
  const first = result.content[0];
  if (first?.type !== "text") return "done";
  if (first.text.startsWith("Script running")) return "goes on";
  return FAILED.test(first.text) ? "failed" : "done";
}
