import type { Owner, Store } from "../../src/trace/ports.ts";

export interface Process {
  owner: () => Owner;
  alive: (owner: Owner) => boolean;
}

/** Handles of one store, each of which takes itself for a process of its own. */
export function processes<S extends Store & { close?(): Promise<void> }>(
  open: (process: Process) => Promise<S>,
  boot = "boot 1",
): { open(): Promise<S>; die(store: Store): void; closeAll(): Promise<void> } {
  const opened = new Map<Store, { store: S; pid: number }>();
  const dead = new Set<number>();
  let pids = 0;
  return {
    open: async () => {
      const pid = ++pids;
      const alive = (owner: Owner): boolean => owner.boot === boot && !dead.has(owner.pid);
      const store = await open({ owner: () => ({ boot, pid, start: "1", ns: "ns" }), alive });
      opened.set(store, { store, pid });
      return store;
    },
    die: (store) => {
      dead.add(opened.get(store)!.pid);
    },
    closeAll: async () => {
      for (const { store } of opened.values()) await store.close?.();
    },
  };
}
