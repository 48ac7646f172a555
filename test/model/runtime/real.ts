/** The runtime under comparison: a store on disk, the user's directory, and the processes that drive scopes, which can die. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { noteStarted } from "../../../src/run/lifecycle.ts";
import { followers } from "../../../src/scope/followers.ts";
import { attach, type LiveScope } from "../../../src/scope/scope.ts";
import type { Disk } from "../../../src/trace/disk.ts";
import { thisOwner } from "../../../src/trace/owner.ts";
import type { Owner } from "../../../src/trace/ports.ts";
import { type EmbeddedStore, openStore } from "../../../src/trace/store.ts";
import { fastDisk } from "../../support/fast-disk.ts";
import type { Random, SimDisk } from "../../support/simdisk.ts";
import type { Edit, Name, Workspace } from "../types.ts";
import { type Calls, callsOf } from "./calls.ts";
import { bytesOf } from "./contents.ts";
import { type ShadowFiles, shadowFiles } from "./files.ts";

/** A scope with the process that drives it. */
export interface Driven {
  readonly name: Name;
  readonly owner: Owner;
  readonly live: LiveScope;
  readonly files: ShadowFiles;
  readonly calls: Calls;
  /** Steps in doubt that wait for the user, and calls that wait for one of them. */
  readonly asked: Set<number>;
  readonly behind: Set<number>;
}

export interface Real {
  /** The user's directory. */
  readonly user: string;
  /** As the newest process has it. */
  store: EmbeddedStore;
  readonly driven: Map<Name, Driven>;
  /** Owners that lost their lease and do not know. */
  readonly stale: Map<Name, Driven>;
  /** New owners that have not said a word yet. */
  readonly seized: Map<Name, Driven>;
  /** What reached the outside: `act SCOPE:N`, `compensate SCOPE:N`. */
  readonly deeds: string[];
  /** The key of each (scope, n) that acted, and the other way round. */
  readonly keys: Map<string, string>;
  /** Keys under which something was taken back. */
  readonly undone: Set<string>;
  /** Becomes the owner of a scope, with its files as at its head. */
  take(name: Name): Promise<Driven>;
  /** The lease is given back. */
  release(driven: Driven): Promise<void>;
  /** The process of a scope is gone from now on. */
  kill(driven: Driven): void;
  /** Every process is gone; a new one opens the store, without its caches if these are lost. */
  reopen(lost: boolean): Promise<void>;
  /** The power fails: of what was not synced any part may be gone. Only on a disk that can. */
  losePower(luck: Random): Promise<void>;
  save(edit: Edit): void;
  /** Milliseconds since 1970, as the runtime is told. */
  clock: number;
  end(): Promise<void>;
}

/** Caches are directories that are there, whatever becomes of the disk. */
const withCaches = (disk: Disk): Disk => ({ ...disk, mkdir: fastDisk.mkdir });

/** @param sim the disk under the store, if it is to lose power */
export async function openReal(user: Workspace, sim?: SimDisk): Promise<Real> {
  const directory = mkdtempSync(`${tmpdir()}/shepherd-model-`);
  const path = `${directory}/user`;
  const living = new Set<number>();
  const stores: EmbeddedStore[] = [];
  let pids = 0;
  let boots = 0;
  let disk: Disk = sim ? withCaches(sim) : fastDisk;
  const newOwner = (): Owner => ({ ...thisOwner(), boot: `boot ${boots}`, pid: 1_000_000_000 + ++pids, start: "0" });
  // Who asks for a lease: the process that works for a scope, or one of no scope.
  let nobody = newOwner();
  living.add(nobody.pid);
  let actor = nobody;
  const open = async (): Promise<EmbeddedStore> => {
    const store = await openStore(`${directory}/store`, {
      disk,
      followers,
      owner: () => actor,
      alive: ({ pid }) => living.has(pid),
    });
    stores.push(store);
    return store;
  };
  const as = async <T>(owner: Owner, work: () => Promise<T>): Promise<T> => {
    actor = owner;
    try {
      return await work();
    } finally {
      actor = nobody;
    }
  };
  const before = Date.now;

  const real: Real = {
    user: path,
    store: await open(),
    driven: new Map(),
    stale: new Map(),
    seized: new Map(),
    deeds: [],
    keys: new Map(),
    undone: new Set(),
    clock: 1_700_000_000_000,
    take: async (name) => {
      const owner = newOwner();
      living.add(owner.pid);
      const { store } = real;
      const files = shadowFiles(store);
      const calls = callsOf();
      const live = await as(owner, () => attach(store, name, { handlers: [calls.gate], files: async () => files }));
      return { name, owner, live, files, calls, asked: new Set(), behind: new Set() };
    },
    release: ({ owner, live }) => as(owner, () => live.close()).finally(() => living.delete(owner.pid)),
    kill: ({ owner }) => {
      living.delete(owner.pid);
    },
    reopen: async (lost) => {
      living.clear();
      living.add(nobody.pid);
      for (const store of stores.splice(0)) await store.close();
      if (lost) rmSync(`${directory}/store/cache`, { recursive: true, force: true });
      real.store = await open();
    },
    losePower: async (luck) => {
      const kept = sim!.crash(luck);
      living.clear();
      boots++;
      nobody = newOwner();
      living.add(nobody.pid);
      actor = nobody;
      disk = withCaches(kept);
      for (const store of stores.splice(0)) await store.close().catch(() => {});
      real.store = await open();
    },
    save: ([name, content]) => {
      const file = `${path}/${name}`;
      if (content !== null) writeFileSync(file, bytesOf(content), { mode: 0o644 });
      else if (existsSync(file)) unlinkSync(file);
    },
    end: async () => {
      Date.now = before;
      for (const store of stores) await store.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  mkdirSync(path);
  chmodSync(path, 0o755);
  for (const edit of Object.entries(user)) real.save(edit);
  // Operations expire by this clock.
  Date.now = () => real.clock;
  return real;
}

/** The first word of an owner, as whoever drives a run writes it: from then on no older one is heard. */
export const begin = ({ live }: Driven): Promise<void> => noteStarted(live.writer, "test");

/** Sets the files to those of the scope's head. */
export async function settleFiles({ live, files }: Driven): Promise<void> {
  const { state, carry } = live.head();
  if (state) await files.restore(state.roots.workspace, carry);
}
