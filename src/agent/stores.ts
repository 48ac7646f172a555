/** The stores that runs of this process are in: each is open once, as long as somebody needs it. */
import { existsSync } from "node:fs";
import { type HeldStore, hasStore, holdStore, storeDirectory } from "../run/stores.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { Invalid } from "./errors.ts";

const open = new Map<string, { held: Promise<HeldStore>; users: number }>();

/** Opens a store, and makes it if there is none. */
export async function useStore(directory: string = storeDirectory()): Promise<HeldStore> {
  const entry = open.get(directory) ?? { held: holdStore(directory), users: 0 };
  open.set(directory, entry);
  entry.users++;
  let left = false;
  const close = async (): Promise<void> => {
    if (left) return;
    left = true;
    if (--entry.users > 0) return;
    open.delete(directory);
    await (await entry.held.catch(() => null))?.close();
  };
  try {
    return { store: (await entry.held).store, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens a store that is there. Throws `Invalid` where there is none. */
export async function useExisting(directory: string = storeDirectory()): Promise<HeldStore> {
  if (!existsSync(directory) || !hasStore(directory)) throw new Invalid(`There is no store in ${directory}.`);
  return useStore(directory);
}

export async function withStore<T>(
  directory: string | undefined,
  work: (store: EmbeddedStore) => Promise<T>,
): Promise<T> {
  const held = await useExisting(directory);
  try {
    return await work(held.store);
  } finally {
    await held.close();
  }
}
