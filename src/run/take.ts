/** Becoming the driver of a run that another process may only hold. */
import { setTimeout as sleep } from "node:timers/promises";
import { findScope } from "../scope/registry.ts";
import { type AttachOptions, attach, Busy, type LiveScope } from "../scope/scope.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { ask } from "./connect.ts";
import { socketPath } from "./socket.ts";

/** So often it is looked whether who lets go has done so, each time after some ms. */
const TRIES = 500;
const PAUSE = 10;

/** As `attach`; but who holds the run with nothing to do in it (`hold.ts`) is asked to let go. Throws `Busy` while somebody works there. */
export async function take(store: EmbeddedStore, name: string, options?: AttachOptions): Promise<LiveScope> {
  for (let tries = 0; ; tries++) {
    try {
      return await attach(store, name, options);
    } catch (error) {
      if (!(error instanceof Busy) || tries === TRIES) throw error;
      if (tries === 0 && !(await leaves(store, name))) throw error;
    }
    await sleep(PAUSE);
  }
}

/** Whether who has the run lets go of it. Nobody else knows that request, or listens at all. */
async function leaves(store: EmbeddedStore, name: string): Promise<boolean> {
  const scope = await findScope(store, name);
  if (!scope) return false;
  return ask(socketPath(store, scope.log), "leave").then(
    (answer) => answer === true,
    () => false,
  );
}
