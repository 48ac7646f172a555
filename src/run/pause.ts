/** A pause of a run: nothing new begins, and what runs ends. It is told by notes alone. */
import type { Handler } from "../scope/effect.ts";
import type { Json } from "../trace/ports.ts";
import { serial } from "../trace/serial.ts";
import type { Writer } from "../trace/writer.ts";
import { notePaused, noteResumed } from "./lifecycle.ts";

export interface Pause {
  /** Stands first of all: a call or a model request waits here. */
  handler: Handler;
  /** Resolves when nothing holds back what is about to begin. Rejects once `signal` aborts. */
  over(signal: AbortSignal): Promise<void>;
  /** @param witness who wants it, by which right, and why */
  begin(witness: { [key: string]: Json }): Promise<void>;
  /** Whether there was one. */
  end(witness: { [key: string]: Json }): Promise<boolean>;
}

export function makePause(writer: Writer): Pause {
  let paused = false;
  const waiting = new Set<() => void>();
  const goOn = (): void => {
    paused = false;
    for (const go of [...waiting]) go();
  };
  /** Else one that comes while another is written would be taken for done. */
  const inOrder = serial();
  const over = async (signal: AbortSignal): Promise<void> => {
    while (paused)
      await new Promise<void>((resolve, reject) => {
        const done = (settle: () => void): void => {
          waiting.delete(go);
          signal.removeEventListener("abort", stop);
          settle();
        };
        const go = (): void => done(resolve);
        const stop = (): void => done(() => reject(signal.reason));
        if (signal.aborted) return reject(signal.reason);
        waiting.add(go);
        signal.addEventListener("abort", stop, { once: true });
      });
  };
  return {
    handler: {
      name: "pause",
      handle: async (_effect, signal) => {
        await over(signal);
        return { kind: "forward" };
      },
    },
    over,
    begin: (witness) =>
      inOrder(async () => {
        if (paused) return;
        // Before it is written: nothing may begin behind the note.
        paused = true;
        await notePaused(writer, witness).catch((error) => {
          goOn();
          throw error;
        });
      }),
    end: (witness) =>
      inOrder(async () => {
        if (!paused) return false;
        await noteResumed(writer, witness);
        goOn();
        return true;
      }),
  };
}
