import { type Effect, isCompensated } from "./effects.ts";
import { act, flush, note, type Tx, tr } from "./machine.ts";
import { notes } from "./query.ts";
import type { Trace } from "./seal.ts";
import type { Name } from "./types.ts";

/** "compensable: the user gave an undo, which runs once, in reverse order, also across a crash". */
export function compensate(tx: Tx, by: Name, all: readonly Effect[]): void {
  for (const e of all) {
    if (e.tier !== "compensable" || isCompensated(tx.sys, e)) continue;
    const facts = { scope: e.scope, of: e.n, attempt: e.attempt };
    if (!begun(tr(tx, by), e)) note(tx, by, null, { note: "compensate", ...facts });
    flush(tx, by);
    // The undo carries the key of its action, so that one in doubt after a crash can be sent again and happens once.
    const done = tx.sys.world.some((a) => a.does === "compensate" && a.key === e.key && a.attempt === e.attempt);
    if (!done) act(tx, { does: "compensate", scope: e.scope, n: e.n, attempt: e.attempt, tier: e.tier, key: e.key });
    note(tx, by, null, { note: "compensated", ...facts });
  }
}
const begun = (t: Trace, e: Effect): boolean =>
  notes(t).some((x) => x.note === "compensate" && x.scope === e.scope && x.of === e.n && x.attempt === e.attempt);
