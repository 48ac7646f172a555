/**
 * Codex's hooks: what they say, and what it takes for an answer. Tried with 0.169.0, where a call runs unless the answer is exactly one of
 * these: exit code 2 with a reason on standard error; a denial with a reason and no member that it does not know, and nothing printed before
 * it. A hook that is killed, ends with another code, has no reason or says `allow` without a new input counts as failed, and the call runs.
 */
import type { Json } from "../../trace/ports.ts";
import type { HookEvent } from "../plugin.ts";

/** Time-outs let the call run; so there is none, in s. */
const NEVER = 86_400;

/** With the start of a session, which comes before the first request: so it is seen whether hooks are heard at all. */
const EVENTS = ["SessionStart", "PreToolUse", "PostToolUse"];

/** Options of the command line, so that they hold whatever becomes of the files of its configuration. The user's own hooks run beside them. */
export const hookOptions = (command: string): Array<[name: string, value: string]> =>
  EVENTS.map((event) => [
    `hooks.${event}`,
    `[{matcher="*",hooks=[{type="command",command=${JSON.stringify(command)},timeout=${NEVER}}]}]`,
  ]);

/** A call that a script makes has an id of its own, for which no model has asked. */
const OWN = /^exec-[0-9a-f-]{36}$/;

/** Under these names hooks tell of tools that models know by others. */
const NAMES: { [name: string]: string } = { Bash: "exec_command" };

export const hook = {
  waits: NEVER * 1000,
  decode: (event: { [name: string]: Json }): HookEvent => {
    const { hook_event_name: name, tool_use_id: call, tool_name, tool_input: input, tool_response: output } = event;
    const by = typeof event.agent_id === "string" ? event.agent_id : undefined;
    if (typeof call !== "string") return { kind: "other" };
    const tool = String(tool_name);
    if (name === "PreToolUse")
      return { kind: "before", call, name: NAMES[tool] ?? tool, input: input ?? {}, own: OWN.test(call), by };
    if (name !== "PostToolUse") return { kind: "other" };
    const said = typeof output === "string" ? output : JSON.stringify(output ?? null);
    return { kind: "after", call, status: "done", input, output: said };
  },
  allow: (input?: Json): Json =>
    input === undefined
      ? {}
      : { hookSpecificOutput: { hookEventName: "PreToolUse", permissionDecision: "allow", updatedInput: input } },
  // No `deny`: an answer on standard output counts for nothing where a shell of the user's has printed before it.
};
