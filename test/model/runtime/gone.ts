import { isDiscarded, traceOf } from "../query.ts";
import type { Name, System } from "../types.ts";

/** Whether retention has taken the name of a discarded scope, though its log may be kept for others. */
export const isGone = (sys: System, name: Name): boolean => {
  const t = traceOf(sys, name);
  const at = t.frames.findLast((f) => f.phase === "note")?.witness.time ?? 0;
  return isDiscarded(t) && at < sys.horizon;
};
