/** Files below a directory, as programs inside the sandbox find them; and how long lists of what was found are told. */
import { boundary, MAX_TEXT } from "./clip.ts";
import { failed, pathOf } from "./paths.ts";
import type { ToolContext, ToolResult } from "./tool.ts";

/** Not looked into, unless a search begins there: much lies in them, and little of it is the project's. */
export const LEFT_OUT: readonly string[] = [".git", "node_modules"];

const TIMEOUT_MS = 60_000;
const MAX_LIST = 32 << 20;
/** Characters of one line. */
const WIDTH = 500;
/** Room for what is said behind a list. */
const ROOM = MAX_TEXT - 200;

/** Paths of all files and links below a directory, relative to it, in any order; a result that says why there are none. */
export async function findIn(context: ToolContext, path: string): Promise<string[] | ToolResult> {
  const at = await pathOf(context, path);
  const leftOut = LEFT_OUT.flatMap((name, k) => [...(k > 0 ? ["-o"] : []), "-name", name]);
  const sandbox = await context.sandbox();
  // With a slash behind it a link leads on, and its own name is none that is left out.
  const start = Buffer.concat([at, Buffer.from("/")]);
  const done = await sandbox.exec({
    argv: [
      "find",
      start,
      "-mindepth",
      "1",
      "(",
      ...leftOut,
      ")",
      "-prune",
      "-o",
      "(",
      "-type",
      "f",
      "-o",
      "-type",
      "l",
      ")",
      "-print0",
    ],
    maxOutput: MAX_LIST,
    timeoutMs: TIMEOUT_MS,
    signal: context.signal,
    separate: true,
  });
  if (done.aborted || context.signal.aborted) return { status: "aborted", text: "The call was aborted." };
  if (done.timedOut) return failed(`${path} was not searched within ${TIMEOUT_MS / 1000} s: give a smaller directory.`);
  const names = done.output.toString().split("\0");
  // What is said of directories that cannot be read stands behind the last name.
  const rest = names.pop()!;
  const prefix = start.toString();
  const found = names.flatMap((name) => {
    const from = name.lastIndexOf(prefix, 0) === 0 ? prefix.length : name.indexOf(prefix) + prefix.length;
    return from < prefix.length ? [] : [name.slice(from)];
  });
  if (found.length === 0 && done.code !== 0)
    return failed(
      `${path} cannot be searched: ${rest.trim().split("\n").at(-1)?.split(": ").at(-1) || "is it a directory?"}`,
    );
  return found;
}

/** Lines as they are told: so many, each so long, and how many more there are. */
export function listed(lines: readonly string[], limit: number, more: string): ToolResult {
  let text = "";
  let count = 0;
  for (const line of lines.slice(0, limit)) {
    const told = `${line.length <= WIDTH ? line : `${line.slice(0, boundary(line, WIDTH))} […]`}\n`;
    if (text.length + told.length > ROOM) break;
    text += told;
    count++;
  }
  if (count < lines.length) text += `[${lines.length - count} more ${more}]\n`;
  return { status: "done", text, output: Buffer.from(lines.map((line) => `${line}\n`).join("")) };
}

export const notFound = (text: string): ToolResult => ({ status: "done", text });
