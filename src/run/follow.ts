/** The log of a run as it grows. */
import type { Frame } from "../trace/frame.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** How often it is looked whether the process that drives a run is still there, in ms. Frames come at once. */
const LOOK = 300;

/**
 * The frames of a log from its first, and on as they come, until its run has ended or the process that drives it is gone; those of a run that nobody
 * has driven yet, until somebody has. Reads what is written, so whoever is slow holds nobody up.
 */
export async function* framesToTheEnd(store: EmbeddedStore, log: string, signal: AbortSignal): AsyncGenerator<Frame> {
  const stop = new AbortController();
  let driven = false;
  let seq = 0;
  const look = async (): Promise<void> => {
    if (!driven || (await store.leases.holder(`log/${log}`))) return;
    // Nothing comes any more unless somebody drives it again.
    if ((await store.logs.end(log)).seq <= seq) stop.abort();
  };
  const timer = setInterval(() => void look().catch(() => {}), LOOK);
  try {
    for await (const frame of store.logs.tail(log, 0, { signal: AbortSignal.any([signal, stop.signal]) })) {
      seq = frame.seq + 1;
      yield frame;
      const ended = frame.phase === "note" && frame.facts.note === "run" && frame.facts.state === "ended";
      driven ||= frame.phase === "note" && frame.facts.note === "run";
      if (ended) await look();
    }
  } finally {
    clearInterval(timer);
  }
}
