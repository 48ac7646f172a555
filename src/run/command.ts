/** A plain command as a worker: one container step, its files captured at its end. */

import { statSync } from "node:fs";
import { join } from "node:path";
import type { LiveScope } from "../scope/scope.ts";
import { putBytes } from "../scope/thread.ts";
import { encodeJson, link } from "../trace/bytes.ts";
import type { Worker } from "./drive.ts";
import type { Ending } from "./lifecycle.ts";

export interface CommandOptions {
  /** On the terminal of this process, unrecorded; else its output is recorded and passed to `onOutput`. */
  interactive?: boolean;
  onOutput?: (chunk: Buffer, stream: "stdout" | "stderr") => void;
  /** Where it starts, relative to the workspace; at its root if there is no such directory (any more). */
  at?: string | undefined;
  /** Added to its environment. */
  env?: { [name: string]: string };
  /** Whether its model calls are recorded. */
  gateway?: boolean;
  /** Whether it reads the standard input of this process. */
  ownStdin?: boolean;
}

export interface CommandResult {
  n: number;
  code: number | null;
  signal: string | null;
  ending: Ending;
}

/** The exit code of a command that a Ctrl-C ended. */
const INTERRUPTED = 130;

/** A command as one would type it. */
export const typedText = (argv: readonly string[]): string =>
  argv.map((word) => (/^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");

/** Runs a command in a scope, as a step. */
export async function performCommand(
  scope: LiveScope,
  argv: readonly string[],
  signal: AbortSignal,
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { store } = scope;
  const files = scope.files;
  if (!files) throw new Error(`${scope.ref.name} has no files here, so nothing can run in it.`);
  const text = typedText(argv);
  const what = link(
    "json",
    await store.objects.put(
      encodeJson({ type: "command", v: 1, argv: [...argv], text, ...(options.at && { at: options.at }) }),
    ),
  );
  let code: number | null = null;
  let ended: string | null = null;
  const pending = await scope.begin(
    {
      intent: { kind: "command", tier: "reversible", what, ...(options.gateway && { gateway: true }) },
      name: "command",
      input: { argv: [...argv] },
      lock: "none",
      captureAtEnd: true,
      run: async () => {
        const sandbox = await files.sandbox();
        const { at = "" } = options;
        const isThere = statSync(join(files.host, at), { throwIfNoEntry: false })?.isDirectory();
        const cwd = files.start !== files.path ? files.start : isThere ? join(files.path, at) : files.path;
        if (options.interactive) {
          const done = await sandbox.interactive({ argv, cwd, ...(options.env && { env: options.env }) });
          code = done.code;
          ended = done.signal;
          // The terminal gives a Ctrl-C to the command, and not to this process.
          const stopped = signal.aborted || ended === "SIGINT" || code === INTERRUPTED;
          return {
            status: stopped ? "aborted" : code === 0 ? "done" : "failed",
            facts: { code, signal: ended },
          };
        }
        const done = await sandbox.exec({
          argv,
          cwd,
          ...(options.env && { env: options.env }),
          signal,
          separate: true,
          ...(options.ownStdin && { ownStdin: true }),
          ...(options.onOutput && { onOutput: options.onOutput }),
        });
        code = done.code;
        ended = done.signal;
        const told = Buffer.from((done.limits ?? []).map((each) => `shepherd: ${each}\n`).join(""));
        if (told.length > 0) options.onOutput?.(told, "stderr");
        const result = await putBytes(store, Buffer.concat([done.output, told]));
        const status = signal.aborted ? "aborted" : code === 0 ? "done" : "failed";
        return { status, result, facts: { code, signal: ended }, witness: { ms: done.ms, output: done.total } };
      },
      refused: async (reason) => ({ status: "denied", result: await putBytes(store, Buffer.from(reason)) }),
    },
    signal,
  );
  const settled = await pending.settled;
  const { status } = settled.outcome;
  return {
    n: pending.n,
    code,
    signal: ended,
    ending: status === "done" ? "done" : status === "aborted" ? "aborted" : "failed",
  };
}

export const commandWorker = (argv: readonly string[], options: CommandOptions = {}): Worker => ({
  name: "command",
  work: async (scope, signal) => {
    try {
      return (await performCommand(scope, argv, signal, options)).ending;
    } catch (error) {
      if (signal.aborted) return "aborted";
      throw error;
    }
  },
});
