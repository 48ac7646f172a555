/** What a verb gets: the store, opened at first use and closed at the end. */
import { holdStore, type OwnStore, storeDirectory } from "../run/stores.ts";
import { Exit, explain } from "./errors.ts";
import type { Output } from "./output.ts";
import type { Context } from "./verb.ts";

export { hasStore, storeDirectory } from "../run/stores.ts";

function presentDirectory(): string {
  try {
    return process.cwd();
  } catch {
    throw new Exit(2, "The directory that you are in was removed: change to another.");
  }
}

export function makeContext(out: Output, rest: string[] | null, signal: AbortSignal): Context {
  let opened: Promise<OwnStore> | null = null;
  const open = (): Promise<OwnStore> => {
    const directory = storeDirectory();
    return holdStore(directory).catch((error: unknown) => {
      // Whatever the reason: the store is unfit.
      throw new Exit(4, explain(error).message);
    });
  };
  const held = (): Promise<OwnStore> => {
    opened ??= open();
    return opened;
  };
  return {
    out,
    rest,
    signal,
    cwd: presentDirectory(),
    store: async () => (await held()).store,
    apart: async () => (await held()).apart(),
    close: async () => {
      await (await opened?.catch(() => null))?.close();
    },
  };
}
