/** What a verb gets: the store, opened at first use and closed at the end. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { followers } from "../scope/followers.ts";
import { isReadOnly } from "../trace/disk.ts";
import { type EmbeddedStore, openStore } from "../trace/store.ts";
import { openWriters, type Writers } from "../trace/writers.ts";
import { Exit, explain } from "./errors.ts";
import type { Output } from "./output.ts";
import type { Context } from "./verb.ts";

/** Where the store is: `SHEPHERD_DIR`, or `shepherd` in `XDG_DATA_HOME`. */
export function storeDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env.SHEPHERD_DIR && !isAbsolute(env.SHEPHERD_DIR))
    throw new Exit(
      2,
      `SHEPHERD_DIR is ${JSON.stringify(env.SHEPHERD_DIR)}, which would be another store in each directory: write a path that begins with /.`,
    );
  if (env.SHEPHERD_DIR) return resolve(env.SHEPHERD_DIR);
  const data =
    env.XDG_DATA_HOME && isAbsolute(env.XDG_DATA_HOME) ? env.XDG_DATA_HOME : join(homedir(), ".local", "share");
  return join(data, "shepherd");
}

/** Whether there is a store yet. */
export const hasStore = (): boolean => existsSync(join(storeDirectory(), "format"));

function presentDirectory(): string {
  try {
    return process.cwd();
  } catch {
    throw new Exit(2, "The directory that you are in was removed: change to another.");
  }
}

export function makeContext(out: Output, rest: string[] | null, signal: AbortSignal): Context {
  let opened: Promise<EmbeddedStore> | null = null;
  let writers: Writers | null = null;
  let keepsUp = (): void => {};
  const open = async (): Promise<EmbeddedStore> => {
    const store = await openStore(storeDirectory(), { followers }).catch((error: unknown) => {
      // Whatever the reason: the store is unfit.
      throw new Exit(4, explain(error).message);
    });
    // A collection waits for this process, which may name anything that it finds in the store.
    const registered = openWriters(store);
    try {
      await registered.register();
      writers = registered;
    } catch (error) {
      // A store that takes no writes can still be read.
      if (!isReadOnly(error)) throw error;
    }
    return store;
  };
  const store = (): Promise<EmbeddedStore> => {
    opened ??= open();
    return opened;
  };
  return {
    out,
    rest,
    signal,
    cwd: presentDirectory(),
    store,
    apart: async () => {
      await store();
      if (!writers) return (work) => work();
      await writers.safepoint();
      keepsUp = writers.keepUp();
      return writers.during;
    },
    close: async () => {
      keepsUp();
      const store = await opened?.catch(() => null);
      await writers?.unregister();
      await store?.close();
    },
  };
}
