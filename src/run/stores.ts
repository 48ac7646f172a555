/** Where the store of this user is, and opening it for who reads and writes it. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { followers } from "../scope/followers.ts";
import { NameError } from "../scope/registry.ts";
import { isReadOnly } from "../trace/disk.ts";
import { type EmbeddedStore, openStore } from "../trace/store.ts";
import { openWriters, type Writers } from "../trace/writers.ts";

/** `SHEPHERD_DIR`, or `shepherd` in `XDG_DATA_HOME`. Throws `NameError` where that is no absolute path. */
export function storeDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env.SHEPHERD_DIR && !isAbsolute(env.SHEPHERD_DIR))
    throw new NameError(
      `SHEPHERD_DIR is ${JSON.stringify(env.SHEPHERD_DIR)}, which would be another store in each directory: write a path that begins with /.`,
    );
  if (env.SHEPHERD_DIR) return resolve(env.SHEPHERD_DIR);
  const data =
    env.XDG_DATA_HOME && isAbsolute(env.XDG_DATA_HOME) ? env.XDG_DATA_HOME : join(homedir(), ".local", "share");
  return join(data, "shepherd");
}

/** Whether there is a store yet. */
export const hasStore = (directory: string = storeDirectory()): boolean => existsSync(join(directory, "format"));

/** A store as a process holds it that may name anything it finds there: a collection waits for it. */
export interface HeldStore {
  store: EmbeddedStore;
  /** Syncs what was written, and closes all. */
  close(): Promise<void>;
}

export interface OwnStore extends HeldStore {
  /** For who lives long: from here on only what runs in the function that it gives holds collections off. */
  apart(): Promise<Writers["during"]>;
}

/** Opens a store, and makes it if there is none. One that takes no writes can still be read. */
export async function holdStore(directory: string): Promise<OwnStore> {
  const store = await openStore(directory, { followers });
  let writers: Writers | null = openWriters(store);
  try {
    await writers.register();
  } catch (error) {
    if (!isReadOnly(error)) throw error;
    writers = null;
  }
  let keepsUp = (): void => {};
  return {
    store,
    apart: async () => {
      if (!writers) return (work) => work();
      await writers.safepoint();
      keepsUp = writers.keepUp();
      return writers.during;
    },
    close: async () => {
      keepsUp();
      await writers?.unregister();
      await store.close();
    },
  };
}
