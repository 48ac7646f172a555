/**
 * Files as the tools reach them: by programs inside the scope's sandbox, never by this process, so that no link can lead us to a file
 * that the scope does not have.
 */
import { posix } from "node:path";
import type { CallResult } from "../../scope/exec/call.ts";
import { decodeShell, fromText } from "../../scope/exec/shellstate.ts";
import { getBytes } from "../../scope/thread.ts";
import type { ToolContext, ToolResult } from "./tool.ts";

/** Larger files are for tools of the shell. */
export const MAX_FILE = 32 << 20;

/** A file that blocks (a pipe) is given up after this time. */
const TIMEOUT_MS = 60_000;

/** Where the thread's shell is, as commands inside see it. */
export async function directoryOf(context: ToolContext): Promise<Buffer> {
  return context.shell
    ? fromText(decodeShell(await getBytes(context.store, context.shell)).cwd)
    : Buffer.from(posix.join((await context.sandbox()).home, context.at ?? ""));
}

/**
 * An absolute path to hand to a program, from one that may be relative to the directory of the thread's shell. Where commands do not see the
 * scope's files at the path of the user's, a path in the user's directory means the file of the scope: never the user's own.
 */
export async function pathOf(context: ToolContext, path: string): Promise<Buffer> {
  const at = path.startsWith("/")
    ? Buffer.from(path)
    : Buffer.concat([await directoryOf(context), SLASH, Buffer.from(path)]);
  const sandbox = await context.sandbox();
  // A path such as `/elsewhere/../project/file` lies in the project too.
  return Buffer.from(sandbox.translate(posix.normalize(at.toString("latin1")), "out"), "latin1");
}

const SLASH = Buffer.from("/");

/** The bytes of a file; a result that says why there are none. */
export async function readWhole(context: ToolContext, path: string): Promise<Buffer | ToolResult> {
  const sandbox = await context.sandbox();
  const done = await sandbox.exec({
    argv: ["head", "-c", String(MAX_FILE + 1), "--", await pathOf(context, path)],
    maxOutput: MAX_FILE + 1,
    timeoutMs: TIMEOUT_MS,
    signal: context.signal,
  });
  if (done.code !== 0) return unable(`${path} cannot be read`, done, context);
  if (done.output.length > MAX_FILE)
    return failed(
      `${path} is larger than ${MAX_FILE >> 20} MiB: read parts of it with bash (head, tail, sed -n, grep).`,
    );
  return done.output;
}

/** Writes a file in place, with the directories that it needs. Null when it is done, else a result that says why not. */
export async function writeWhole(context: ToolContext, path: string, content: Uint8Array): Promise<ToolResult | null> {
  const sandbox = await context.sandbox();
  const at = await pathOf(context, path);
  const slash = at.lastIndexOf(0x2f);
  const done = await sandbox.exec({
    argv: ["sh", "-c", 'mkdir -p -- "$1" && cat >"$2"', "sh", slash > 0 ? at.subarray(0, slash) : "/", at],
    stdin: content,
    timeoutMs: TIMEOUT_MS,
    signal: context.signal,
  });
  return done.code === 0 ? null : unable(`${path} cannot be written`, done, context);
}

export const failed = (text: string): ToolResult => ({ status: "failed", text });

/** What to tell the model where a program of ours did not do its work. */
function unable(what: string, done: CallResult, { signal }: ToolContext): ToolResult {
  if (done.aborted || signal.aborted) return { status: "aborted", text: `${what}: the call was aborted.` };
  if (done.timedOut) return failed(`${what} within ${TIMEOUT_MS / 1000} s: is it a pipe or a device?`);
  // Programs say their name and the path first, and the reason last.
  const reason = done.output.toString().trim().split("\n").at(-1)!.split(": ").at(-1)!;
  return failed(`${what}: ${reason || `the program ended with ${done.signal ?? done.code}`}.`);
}

/** Bytes that are no text: they hold a NUL, as no text does. */
export const isBinary = (bytes: Uint8Array): boolean => bytes.includes(0);
