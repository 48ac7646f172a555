/** What the owner of a run tells of the network that its commands have, so that another process of its user can connect into it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Sandbox } from "../scope/exec/sandbox.ts";
import { NoState } from "../scope/files.ts";
import type { LiveScope } from "../scope/scope.ts";
import type { Json } from "../trace/ports.ts";
import type { Method } from "./socket.ts";

export interface NetworkOfRun {
  /** Arguments that start a program in it; null where it is the host's. */
  enter: string[] | null;
  /** The port in it on which the run's gateway listens; null where there is none. */
  gateway: number | null;
}

/** So often it is looked whether the files of the run are there, in ms. */
const PAUSE = 50;

/** Tells it once, and goes on until who asked or the owner is gone: so each learns of the other's end. */
export const networkMethod =
  (scope: LiveScope): Method =>
  async (_params, send, closed) => {
    const gone = new Promise<void>((resolve) => closed.addEventListener("abort", () => resolve(), { once: true }));
    const sandbox = await sandboxOf(scope, closed);
    const address = sandbox?.listener?.address();
    const told: NetworkOfRun = {
      enter: sandbox?.enterNetwork() ?? null,
      gateway: address && typeof address === "object" ? address.port : null,
    };
    await send(told as unknown as Json);
    if (!closed.aborted) await gone;
    return null;
  };

/** A run that has just begun has no files yet; one that only records others never has any. */
async function sandboxOf(scope: LiveScope, signal: AbortSignal): Promise<Sandbox | null> {
  for (;;)
    try {
      return (await scope.files?.sandbox()) ?? null;
    } catch (error) {
      if (!(error instanceof NoState)) throw error;
      await sleep(PAUSE, undefined, { signal });
    }
}
