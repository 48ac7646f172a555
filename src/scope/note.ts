/** A note in a log that nobody drives: the lease is held for that one frame. */
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** Appends a note. False if the log has a live owner, through whom it must go. */
export async function appendNote(
  store: EmbeddedStore,
  log: string,
  n: number | null,
  facts: { note: string; [key: string]: Json },
): Promise<boolean> {
  const end = await store.logs.end(log);
  const epoch = await store.leases.acquire(`log/${log}`, end.epoch);
  if (epoch === null) return false;
  try {
    for (;;) {
      const { seq, prev } = await store.logs.end(log);
      const witness = { at: Date.now() };
      if (await store.logs.append(log, seq, epoch, [{ v: 1, seq, epoch, n, phase: "note", prev, facts, witness }]))
        return true;
    }
  } finally {
    await store.leases.release(`log/${log}`, epoch);
  }
}
