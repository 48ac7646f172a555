/** What a command has written while it still runs. */
import { countChanges } from "../scope/changes.ts";
import type { LiveScope } from "../scope/scope.ts";
import { target } from "../trace/bytes.ts";

/** Captures the files; a difference is a step `work` in the container `inside`, none is none. Written at return. */
export async function recordWork(scope: LiveScope, inside: number | undefined): Promise<void> {
  const { files, writer, store } = scope;
  if (!files) return;
  const ticket = scope.lock.request("exclusive");
  try {
    await ticket.held;
    const before = scope.head().state?.roots.workspace;
    const { workspace, carry } = await files.capture();
    if (workspace === before) return;
    const changes = await countChanges(store, before ? target(before) : null, target(workspace));
    const links = inside === undefined ? {} : { links: { inside } };
    const n = await writer.intent({ kind: "work", tier: "reversible" }, links);
    await writer.outcome(
      n,
      { status: "done", workspace },
      { carry, witness: { at: Date.now(), changes: { ...changes } } },
    );
  } finally {
    ticket.release();
  }
}
