/** Becoming the driver of a run that another process may only hold. */
import { setTimeout as sleep } from "node:timers/promises";
import { findScope } from "../scope/registry.ts";
import { type AttachOptions, attach, Busy, type LiveScope } from "../scope/scope.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { ask, OwnerError } from "./connect.ts";
import { socketPath } from "./socket.ts";

/** So long is waited, in ms, for one who lets go; and for one who does not listen: an operation of a moment, or somebody who is about to. */
const LEAVING = 5000;
const MOMENT = 1000;
/** After so many ms it is tried again. */
const PAUSE = 10;

/** As `attach`; but who holds the run with nothing to do in it (`hold.ts`) is asked to let go. Throws `Busy` while somebody works there. */
export async function take(store: EmbeddedStore, name: string, options?: AttachOptions): Promise<LiveScope> {
  let leaving = false;
  for (let waited = 0; ; waited += PAUSE) {
    try {
      return await attach(store, name, options);
    } catch (error) {
      if (!(error instanceof Busy)) throw error;
      // It is told once: while it goes, it answers no more.
      const patience: number = leaving ? LEAVING : await patienceWith(store, name);
      leaving = patience === LEAVING;
      if (waited >= patience) throw error;
    }
    await sleep(PAUSE);
  }
}

/** How long who has the run may be waited for. Who works there does not know what is asked, or says no. */
async function patienceWith(store: EmbeddedStore, name: string): Promise<number> {
  const scope = await findScope(store, name);
  if (!scope) return 0;
  return ask(socketPath(store, scope.log), "leave").then(
    (leaves) => (leaves === true ? LEAVING : 0),
    (error: unknown) => (error instanceof OwnerError ? 0 : MOMENT),
  );
}
