/** A person's shell in a scope: each command is a step, and what a shell keeps from one to the next is part of the state. */

import { runShell } from "../scope/exec/shell.ts";
import { decodeShell, encodeShell, fromText, type ShellState } from "../scope/exec/shellstate.ts";
import type { LiveScope } from "../scope/scope.ts";
import { getBytes, putBytes } from "../scope/thread.ts";
import { encodeJson } from "../trace/bytes.ts";

/** The thread in which the state of a person's shell stands. */
const THREAD = "shell";

export interface PersonsShell {
  /** Where the next command starts. */
  cwd(): string;
  run(
    command: string,
    signal: AbortSignal,
    onOutput?: (chunk: Buffer) => void,
  ): Promise<{ n: number; code: number | null }>;
}

export async function openShell(scope: LiveScope): Promise<PersonsShell> {
  const { store, files } = scope;
  if (!files) throw new Error(`${scope.ref.name} has no files here, so no shell can run in it.`);
  const sandbox = await files.sandbox();
  const stored = scope.head().state?.threads[THREAD]?.shell;
  let state: ShellState | null = stored ? decodeShell(await getBytes(store, stored)) : null;
  return {
    cwd: () => (state ? fromText(state.cwd).toString() : sandbox.home),
    run: async (command, signal, onOutput) => {
      const input = { command };
      const what = await putBytes(store, encodeJson({ type: "call", id: THREAD, name: "bash", input }));
      let code: number | null = null;
      const pending = await scope.begin(
        {
          intent: { kind: "tool", tier: "reversible", thread: THREAD, what },
          name: "bash",
          input,
          lock: "exclusive",
          run: async () => {
            const done = await runShell(sandbox, command, state, { signal, ...(onOutput && { onOutput }) });
            code = done.result.code;
            for (const notice of [
              ...done.notices,
              ...(done.result.limits ?? []),
              ...(done.stateLost ? [done.stateLost] : []),
            ])
              onOutput?.(Buffer.from(`shepherd: ${notice}\n`));
            state = done.state;
            const shell = await putBytes(store, encodeShell(done.state));
            const status = done.result.aborted ? "aborted" : code === 0 ? "done" : "failed";
            return {
              status,
              result: await putBytes(store, done.result.output),
              threads: { [THREAD]: { shell } },
              witness: { ms: done.result.ms },
            };
          },
          refused: async (reason) => ({ status: "denied", result: await putBytes(store, Buffer.from(reason)) }),
        },
        signal,
      );
      await pending.settled;
      return { n: pending.n, code };
    },
  };
}
