/** What a verb gets: the store, opened at first use and closed at the end. */
import { type HeldStore, holdStore, storeDirectory } from "../run/stores.ts";
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
  let opened: Promise<HeldStore> | null = null;
  const open = (): Promise<HeldStore> => {
    const directory = storeDirectory();
    return holdStore(directory).catch((error: unknown) => {
      // Whatever the reason: the store is unfit.
      throw new Exit(4, explain(error).message);
    });
  };
  return {
    out,
    rest,
    signal,
    cwd: presentDirectory(),
    store: async () => {
      opened ??= open();
      return (await opened).store;
    },
    close: async () => {
      await (await opened?.catch(() => null))?.close();
    },
  };
}
