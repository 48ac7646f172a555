/** What is answered to a request: lines of JSON, each one of these, and last how it ended. */
import { type ExitCode, explain } from "../errors.ts";
import type { Output } from "../output.ts";

/**
 * `object`: what the verb prints with --json; `cursor`: from where an observer goes on behind it. `bytes`: of a file, as base64. `warning`: a
 * sentence that it says on standard error. `exit`: its exit code, with a sentence where that is an error.
 */
export type Line =
  | { object: object; cursor?: number }
  | { bytes: string }
  | { warning: string }
  | { exit: ExitCode; error?: string; hint?: string };

/** Resolves when there is room for more. */
export type Send = (line: Line) => Promise<void>;

/** The output of a verb that somebody asks for from elsewhere: as with --json, and a file's bytes besides. */
export const outputTo = (send: Send): Output => ({
  json: true,
  terminal: false,
  attached: false,
  width: 80,
  style: (_style, text) => text,
  line: () => {},
  say: () => {},
  object: (object) => void send({ object }),
  bytes: (part) => send({ bytes: Buffer.from(part).toString("base64") }),
  warn: (text) => void send({ warning: text.replace(/^shepherd: /, "") }),
  flush: () => {},
  progress: () => ({ at: () => {}, done: () => {} }),
});

/** How something ended, as the last line of its answer. */
export async function endOf(work: () => Promise<ExitCode | undefined>, signal: AbortSignal): Promise<Line> {
  try {
    return { exit: (await work()) ?? 0 };
  } catch (error) {
    if (signal.aborted && (error === signal.reason || (error as Error)?.name === "AbortError"))
      return { exit: 1, error: "It was stopped." };
    const { code, message, hint } = explain(error);
    return { exit: code, error: message, ...(hint && { hint }) };
  }
}
