/** Claude Code's hooks: what they say, and what it takes for an answer. Tried with 2.1.329. */
import type { Json } from "../../trace/ports.ts";
import type { HookEvent } from "../plugin.ts";

/** A time-out lets the tool run, so it is long, in s. */
const PATIENCE = 86_400;

/** Settings that go before the user's own, whose hooks run beside ours. */
export function settings(command: string): string {
  const hooks = [{ matcher: "*", hooks: [{ type: "command", command, timeout: PATIENCE }] }];
  return JSON.stringify({
    // The start of a session comes before the first request: so it is seen whether hooks are heard at all.
    hooks: { SessionStart: hooks, PreToolUse: hooks, PostToolUse: hooks, PostToolUseFailure: hooks },
    // The scope is one, and another does not start inside.
    sandbox: { enabled: false },
  });
}

export const hook = {
  waits: PATIENCE * 1000,
  decode: (event: { [name: string]: Json }): HookEvent => {
    const { hook_event_name: name, tool_use_id: call, tool_name: tool, tool_input: input } = event;
    if (typeof call !== "string") return { kind: "other" };
    if (name === "PreToolUse") return { kind: "before", call, name: String(tool), input: input ?? {} };
    if (name === "PostToolUse") return { kind: "after", call, status: "done" };
    if (name === "PostToolUseFailure")
      return { kind: "after", call, status: event.is_interrupt === true ? "aborted" : "failed" };
    return { kind: "other" };
  },
  allow: (input?: Json): Json =>
    decision({ permissionDecision: "allow", ...(input !== undefined && { updatedInput: input }) }),
  deny: (reason: string): Json => decision({ permissionDecision: "deny", permissionDecisionReason: reason }),
};

const decision = (said: { [name: string]: Json }): Json => ({
  hookSpecificOutput: { hookEventName: "PreToolUse", ...said },
});
