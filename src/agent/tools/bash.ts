import { type CallResult, MAX_OUTPUT } from "../../scope/exec/call.ts";
import { isTimeLimit } from "../../scope/exec/limit.ts";
import { initialShell, runShell, type ShellResult } from "../../scope/exec/shell.ts";
import { decodeShell, encodeShell } from "../../scope/exec/shellstate.ts";
import { getBytes, putBytes } from "../../scope/thread.ts";
import { schema, type Tool, type ToolResult } from "./tool.ts";

const TIMEOUT_MS = 120_000;
const LONGEST_MS = 3_600_000;
/** Bytes from the end of an output of which the middle is not kept. */
const TAIL = 32 << 10;

export const bash: Tool = {
  name: "bash",
  description:
    "Runs a command in bash and gives what it writes to its output and error streams. Directory, exported variables, functions, options and aliases are kept from call to call. Processes in the background go on after the call; what they write then is not seen, so send it to a file.",
  input: schema(
    {
      command: { type: "string", description: "The command." },
      timeout_ms: {
        type: "integer",
        minimum: 1,
        maximum: LONGEST_MS,
        description: `Ends the command after this time, in milliseconds; ${TIMEOUT_MS} without it.`,
      },
    },
    ["timeout_ms"],
  ),
  lock: "exclusive",
  tier: "reversible",
  run: async (input, context) => {
    const sandbox = await context.sandbox();
    const state = context.shell
      ? decodeShell(await getBytes(context.store, context.shell))
      : initialShell(sandbox, context.at);
    const before = encodeShell(state);
    const timeoutMs = (input.timeout_ms as number | undefined) ?? TIMEOUT_MS;
    const end = keepEnd();
    const done = await runShell(sandbox, input.command as string, state, {
      timeoutMs,
      signal: context.signal,
      onOutput: end.add,
    });
    const after = encodeShell(done.state);
    return {
      ...report(done, end.bytes(done.result.total - done.result.output.length), timeoutMs),
      ...(Buffer.compare(before, after) !== 0 && { shell: await putBytes(context.store, after) }),
    };
  },
};

/** Keeps the last bytes of a stream. */
function keepEnd(): { add: (chunk: Buffer) => void; bytes: (most: number) => Buffer } {
  let kept: Buffer[] = [];
  let size = 0;
  const squeeze = (): Buffer => {
    const all = Buffer.concat(kept).subarray(-TAIL);
    kept = [all];
    size = all.length;
    return all;
  };
  return {
    add: (chunk) => {
      kept.push(chunk);
      size += chunk.length;
      if (size > 8 * TAIL) squeeze();
    },
    bytes: (most) => (most <= 0 ? Buffer.alloc(0) : squeeze().subarray(-most)),
  };
}

function report({ result, stateLost, notices }: ShellResult, end: Buffer, timeoutMs: number): ToolResult {
  const { output, total } = result;
  const middle = total - output.length - end.length;
  let text = output.toString();
  if (end.length > 0)
    text += `${middle > 0 ? `\n[${middle} bytes are not kept: an output is kept up to ${MAX_OUTPUT} bytes.]\n` : ""}${end.toString()}`;
  const lines = [...notices, ...how(result, timeoutMs), ...(stateLost ? [stateLost] : [])].map((line) => `[${line}]`);
  if (text === "" && lines.length === 0) text = "(no output)";
  if (lines.length > 0) text += `${text === "" || text.endsWith("\n") ? "" : "\n"}${lines.join("\n")}`;
  return {
    status: result.aborted ? "aborted" : result.code === 0 ? "done" : "failed",
    text,
    more: "To see them, run it again with the output in a file, and read that in parts.",
    output,
    facts: {
      ...(result.code !== null && { code: result.code }),
      ...(result.signal !== null && { signal: result.signal }),
      ...(result.truncated && { bytes: total }),
    },
  };
}

/** How the command ended, if not well. */
function how({ code, signal, timedOut, aborted, limits = [] }: CallResult, timeoutMs: number): string[] {
  if (aborted) return ["the call was aborted"];
  if (limits.some(isTimeLimit)) return limits;
  if (timedOut)
    return [...limits, `ended after ${timeoutMs} ms: give a larger timeout_ms, or run it in the background`];
  if (signal) return [...limits, `ended by ${signal}`];
  return code === 0 ? limits : [...limits, `exit code ${code}`];
}
