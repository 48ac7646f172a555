/**
 * Who writes into a store, so that garbage can be collected beside them.
 *
 * Between putting an object and writing the frame that names it, nothing that is written down keeps the object. The collector therefore first
 * *condemns* packs: it publishes their numbers under a new generation, and each registered writer, from the moment it notices, finds nothing
 * in them that it may name (`has` denies, `put` puts anew). The writer *acknowledges* the generation once every operation has ended that began
 * before it noticed. When all have, each object of these packs is named by a frame already, or will never be named there.
 *
 * In `writers/`: `state` holds `{v, generation, epoch, packs, logs}`; every writer has a file with `{v, owner, generation}`. Both are
 * replaced whole. A writer makes its file before it reads the state, and the collector publishes before it lists the files, so one sees the other.
 */
import { randomBytes } from "node:crypto";
import { decodeJson, encodeJson } from "./bytes.ts";
import { alive, isOwner, thisOwner } from "./owner.ts";
import type { Json, Owner } from "./ports.ts";
import type { EmbeddedStore } from "./store.ts";

export interface GcState {
  /** Grows with each change of the state. */
  generation: number;
  /** The generation in which packs were condemned last: what was known to be in the store before may have gone since. */
  epoch: number;
  packs: number[];
  /** Logs about to be removed: nothing may begin to name them. */
  logs: string[];
}

/** A registered writer, or a file that should be one's. */
export interface Registration {
  file: string;
  owner: Owner | null;
  /** Highest generation that it acknowledged; -1 before the first. */
  generation: number;
}

export interface Writers {
  /**
   * Must come before the first `put` or `has` whose result a frame or ref will name. From here on everything counts as one operation, and holds
   * collections off, until `safepoint` or `keepUp` says that operations are told one by one.
   */
  register(): Promise<void>;
  /** Runs `work` as one operation: from its first `put` or `has` to the frame or ref that names the result. Any number may run at once; none may wait for a collection. */
  during<T>(work: () => Promise<T>): Promise<T>;
  /** Says that nothing is going on but what runs in `during`. Notices the present generation, and acknowledges it as soon as no operation stands in the way. */
  safepoint(): Promise<void>;
  /** Calls `safepoint` at intervals (ms): for a process that lives long, and does everything that names objects inside `during`. Gives a function that ends it. */
  keepUp(every?: number): () => void;
  /** Whether the log is about to be removed: nothing may be made to name it. */
  denies(log: string): boolean;
  /**
   * Changes whenever objects may have been removed: who remembers ids across operations must ask `has` anew after a change, for each of them,
   * since an object can outlast what it names. To be read once, at the beginning of an operation.
   */
  generation(): string;
  /** After the last operation has ended. */
  unregister(): Promise<void>;
}

type Place = Pick<EmbeddedStore, "disk" | "directory">;
const statePath = ({ directory }: Place): string => `${directory}/writers/state`;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** What is condemned now; null if the file cannot be read. */
export function readGcState(place: Place): GcState | null {
  const bytes = place.disk.read(statePath(place));
  if (!bytes) return { generation: 0, epoch: 0, packs: [], logs: [] };
  const state = parse(bytes);
  if (state?.v !== 1 || !isCount(state.generation) || !isCount(state.epoch)) return null;
  const { generation, epoch, packs, logs } = state;
  if (!Array.isArray(packs) || !packs.every(isCount) || !Array.isArray(logs)) return null;
  return { generation, epoch, packs, logs: logs.map(String) };
}

/** Synced at return. Only for the holder of the lease `gc`. */
export async function publishGcState(place: Place, state: GcState): Promise<void> {
  place.disk.mkdir(`${place.directory}/writers`);
  await place.disk.create(statePath(place), encodeJson({ v: 1, ...state }), { replace: true });
}

export function listWriters({ disk, directory }: Place): Registration[] {
  const found: Registration[] = [];
  for (const name of disk.list(`${directory}/writers`)) {
    if (!name.endsWith(".writer")) continue;
    const file = `${directory}/writers/${name}`;
    const bytes = disk.read(file);
    if (!bytes) continue;
    const value = parse(bytes);
    const generation = value && Number.isSafeInteger(value.generation) ? (value.generation as number) : -1;
    found.push({ file, owner: value && isOwner(value.owner) ? value.owner : null, generation });
  }
  return found;
}

/** What `store.generation` is for who does not write. */
export const storeGeneration = (place: Place): string => String(readGcState(place)?.epoch ?? unknown());

/** A generation like no other. */
const unknown = (): string => `unknown ${randomBytes(9).toString("base64url")}`;

/** Of this process, by store: a collection in the same process brings them to a safe point itself. */
const here = new Map<string, Set<Writers>>();

/** Safe point for all writers of this process: it is the one that collects, and says so by that. */
export async function safepointHere({ directory }: Place): Promise<void> {
  for (const writers of here.get(directory) ?? []) await writers.safepoint();
}

/** @param me for tests: the process that writes. */
export function openWriters(store: Place & Pick<EmbeddedStore, "objects">, me: () => Owner = thisOwner): Writers {
  const { disk, directory, objects } = store;
  const file = `${directory}/writers/${process.pid}.${randomBytes(6).toString("hex")}.writer`;
  // The generation noticed when each operation now running began.
  const running = new Map<symbol, number>();
  let registered = false;
  let noticed = -1;
  let epoch = unknown();
  let acknowledged = -1;
  let condemning = false;
  // Whether it is told when nothing is going on but what runs in `during`.
  let told = false;
  let logs: ReadonlySet<string> = new Set();
  let writing: Promise<void> = Promise.resolve();

  const notice = (): void => {
    const state = readGcState(store);
    if (state && state.generation === noticed) return;
    // Packs that were removed since must not be taken for there.
    objects.refresh();
    if (state) {
      objects.condemn(new Set(state.packs));
      logs = new Set(state.logs);
      noticed = state.generation;
      epoch = String(state.epoch);
      condemning = state.packs.length > 0 || state.logs.length > 0;
    } else {
      // Which packs are condemned cannot be read: as if all were, and nothing is acknowledged, so that nothing is removed either.
      objects.condemn(new Set(objects.packs().map((pack) => pack.number)));
      epoch = unknown();
    }
  };
  const acknowledge = (): Promise<void> => {
    writing = writing
      .catch(() => {})
      .then(async () => {
        const generation = noticed;
        // Nobody waits for the acknowledgement of a state that condemns nothing.
        if (!registered || !condemning || generation <= acknowledged) return;
        for (const begun of running.values()) if (begun < generation) return;
        await disk.create(file, encodeJson({ v: 1, owner: me(), generation }), { replace: true });
        acknowledged = generation;
      });
    return writing;
  };
  const safepoint = async (): Promise<void> => {
    if (!registered) return;
    told = true;
    notice();
    await acknowledge();
  };

  const writers: Writers = {
    register: async () => {
      if (registered) return;
      disk.mkdir(`${directory}/writers`);
      await disk.create(file, encodeJson({ v: 1, owner: me(), generation: -1 }), { replace: true });
      registered = true;
      noticed = -1;
      acknowledged = -1;
      told = false;
      notice();
      here.set(directory, (here.get(directory) ?? new Set()).add(writers));
    },
    during: async (work) => {
      if (!registered) throw new Error("A writer must register before it begins an operation.");
      notice();
      const operation = Symbol();
      running.set(operation, noticed);
      try {
        return await work();
      } finally {
        running.delete(operation);
        if (told && condemning && acknowledged < noticed) await acknowledge().catch(() => {});
      }
    },
    safepoint,
    keepUp: (every = 1000) => {
      const timer = setInterval(() => void safepoint().catch(() => {}), every).unref();
      return () => clearInterval(timer);
    },
    denies: (log) => logs.has(log),
    generation: () => epoch,
    unregister: async () => {
      if (!registered) return;
      registered = false;
      here.get(directory)?.delete(writers);
      await writing.catch(() => {});
      disk.remove(file);
    },
  };
  return writers;
}

/** The lease under which objects are moved or destroyed. Throws a sentence that names who has it. */
export async function takeGcLease(store: Pick<EmbeddedStore, "leases">): Promise<number> {
  const epoch = await store.leases.acquire("gc");
  if (epoch !== null) return epoch;
  const pid = (await store.leases.holder("gc"))?.pid ?? "unknown";
  throw new Error(`Process ${pid} collects garbage in this store, or forgets: try again when it is done.`);
}

/** Writers that have not acknowledged `generation`; the files of those that are gone are removed. */
export function lagging(place: Place, generation: number, lives: (owner: Owner) => boolean = alive): Registration[] {
  return listWriters(place).filter((writer) => {
    if (writer.generation >= generation) return false;
    if (!writer.owner || lives(writer.owner)) return true;
    place.disk.remove(writer.file);
    return false;
  });
}

function parse(bytes: Uint8Array): { [key: string]: Json } | null {
  try {
    const value = decodeJson(bytes);
    return value && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
