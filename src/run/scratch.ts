/** Scopes that are thrown away: somebody works in a copy of a step, and nothing of it is to stay. */
import { randomBytes } from "node:crypto";
import { forkScope } from "../scope/fork.ts";
import { type Grants, type ScopeRef, setDiscarded } from "../scope/registry.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/**
 * A scope at step `n` of a run that is discarded from the first: whoever is killed leaves nothing that could be taken for a run. No operation, and
 * no note in the log of the run: nothing of the user's is in it, so there is nothing to take back.
 * @param what it is for: its name ends so
 */
export async function scratchFork(
  store: EmbeddedStore,
  run: string,
  n: number,
  { what, grants }: { what: string; grants?: Partial<Grants> },
): Promise<ScopeRef> {
  const name = `${run.replaceAll(".", "-").slice(0, 30)}-${randomBytes(4).toString("hex")}-${what}`;
  const [scope] = await forkScope(store, run, n, { name, ...(grants && { grants }) });
  await setDiscarded(store, scope!, Date.now());
  return scope!;
}
