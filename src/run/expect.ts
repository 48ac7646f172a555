/** Operations that name the step which they were decided on: they are done if that is still the newest, and refused if not. */
import type { ScopeRef } from "../scope/registry.ts";
import type { Kind } from "../trace/frame.ts";
import type { Hash, Json } from "../trace/ports.ts";
import type { Fold } from "../trace/seal.ts";

/** A step by its number, or a commit by its id. */
export type Expected = number | Hash;

/** Thrown where a run does not stand any more where somebody saw it. Nothing was changed. */
export class Moved extends Error {}

interface Standing {
  ref: Pick<ScopeRef, "name">;
  fold: Fold;
}

/** What sets the state of a scope from outside. */
const OPERATING: ReadonlySet<Kind> = new Set<Kind>(["revert", "undo", "merge", "resolve", "sync", "handoff"]);

/**
 * Throws `Moved` where the newest step is not the one that is expected. Gives a check for later, when whoever works there was stopped: what that
 * adds does not count, only what somebody else has done meanwhile.
 */
export function checkExpected({ ref, fold }: Standing, expect: Json | undefined): () => void {
  if (typeof expect !== "number" && typeof expect !== "string") return () => {};
  const { n, id } = fold.head();
  if (expect !== n && expect !== id) throw moved(ref.name, n, expect);
  const seen = fold.sealed.length;
  return () => {
    const other = fold.sealed
      .slice(seen)
      .find(({ intent, links }) => OPERATING.has(intent.kind) && links.inside === undefined);
    if (other) throw moved(ref.name, fold.head().n, expect);
  };
}

const moved = (name: string, n: number, expect: Expected): Moved =>
  new Moved(
    `${name} stands at step ${n}, and not at ${typeof expect === "number" ? `step ${expect}` : `commit ${expect.slice(0, 12)}`} any more: nothing was changed. Look again, and decide anew.`,
  );
