/** What processes write that go on after their call: found by the next capture, and before anything sets the files. */
import { type LiveScope, record } from "./scope.ts";

/**
 * Records as a step of its own what processes of earlier calls have written since the last capture, if anything: what is set next would
 * take it away unseen. Nothing else may use the files meanwhile: the caller holds the lock, or nothing runs. `end`: the processes are
 * ended first. Written at return.
 */
export async function recordBackground(scope: LiveScope, options: { end?: boolean } = {}): Promise<void> {
  const written = await scope.files?.background(options);
  if (!written) return;
  const { workspace, carry, leftOut } = written;
  const outcome = { status: "done", workspace, background: true } as const;
  await record(scope, { kind: "work", tier: "reversible" }, outcome, { carry, leftOut });
}
