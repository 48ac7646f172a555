/** The four ports in memory, as a second implementation of them: nothing is kept, and each handle stands for a process. */
import { encodeJson, sha256 } from "../../src/trace/bytes.ts";
import { encodeFrame, frameHash, headerHash } from "../../src/trace/chain.ts";
import type { Frame } from "../../src/trace/frame.ts";
import { sameOwner } from "../../src/trace/owner.ts";
import { type Hash, type LogHeader, MAX_OBJECT, type Owner, type Ref, type Store } from "../../src/trace/ports.ts";

interface MemoryLog {
  header: LogHeader;
  frames: Frame[];
  waiters: Set<() => void>;
}

export interface MemoryStores {
  /** What a process has of the store. */
  open(owner: Owner, lives: (owner: Owner) => boolean): Store;
}

export function memoryStores(): MemoryStores {
  const objects = new Map<Hash, Uint8Array>();
  const refs = new Map<string, { value: string | null; version: number }>();
  const logs = new Map<string, MemoryLog>();
  const leases = new Map<string, { epoch: number; owner: Owner | null }>();

  const must = (log: string): MemoryLog => {
    const there = logs.get(log);
    if (!there) throw new Error(`There is no log ${log} in this store.`);
    return there;
  };
  const ref = (name: string): Ref | null => {
    const { value, version } = refs.get(name) ?? { value: null, version: 0 };
    return value === null ? null : { value, version };
  };

  const open = (me: Owner, lives: (owner: Owner) => boolean): Store => ({
    objects: {
      put: async (bytes) => {
        if (bytes.length > MAX_OBJECT) throw new Error(`An object of ${bytes.length} bytes is over the limit.`);
        const id = sha256(bytes);
        objects.set(id, Uint8Array.from(bytes));
        return id;
      },
      get: async (id) => objects.get(id) ?? null,
      has: async (ids) => ids.map((id) => objects.has(id)),
    },
    refs: {
      get: async (name) => ref(name),
      list: async (prefix) =>
        [...refs.keys()]
          .filter((name) => name.startsWith(prefix) && ref(name))
          .sort((a, b) => (a < b ? -1 : 1))
          .map((name) => ({ name, ...ref(name)! })),
      cas: async (name, expected, next) => {
        if ((ref(name)?.version ?? 0) !== expected) return false;
        refs.set(name, { value: next, version: (refs.get(name)?.version ?? 0) + 1 });
        return true;
      },
    },
    logs: {
      create: async (header) => {
        if (logs.has(header.id)) throw new Error(`The log ${header.id} exists already.`);
        encodeJson(header);
        logs.set(header.id, { header: structuredClone(header), frames: [], waiters: new Set() });
      },
      header: async (log) => logs.get(log)?.header ?? null,
      append: async (log, from, epoch, frames) => {
        const { header, frames: kept, waiters } = must(log);
        for (const frame of frames) encodeFrame(frame);
        const newest = kept.at(-1);
        if (kept.length !== from || (newest && newest.epoch > epoch)) return false;
        let prev = newest ? frameHash(newest) : headerHash(header);
        for (const [i, frame] of frames.entries()) {
          if (frame.seq !== from + i || frame.epoch !== epoch || frame.prev !== prev)
            throw new Error(`The frame ${frame.seq} does not follow on the end of log ${log}.`);
          prev = frameHash(frame);
        }
        kept.push(...frames);
        for (const wake of waiters) wake();
        return true;
      },
      read: async function* (log, from = 0) {
        yield* must(log).frames.slice(from);
      },
      tail: async function* (log, from, { signal }) {
        const { frames, waiters } = must(log);
        for (let seq = from; !signal.aborted; ) {
          if (seq < frames.length) {
            yield frames[seq++]!;
            continue;
          }
          await new Promise<void>((resolve) => {
            const wake = (): void => {
              waiters.delete(wake);
              signal.removeEventListener("abort", wake);
              resolve();
            };
            waiters.add(wake);
            signal.addEventListener("abort", wake);
          });
        }
      },
      sync: async () => {},
      list: async () => [...logs.keys()].sort(),
    },
    leases: {
      acquire: async (key, floor = 0) => {
        const held = leases.get(key) ?? { epoch: 0, owner: null };
        if (held.owner && lives(held.owner)) return null;
        const epoch = Math.max(held.epoch, floor) + 1;
        leases.set(key, { epoch, owner: me });
        return epoch;
      },
      renew: async (key, epoch) => {
        const held = leases.get(key);
        return held?.epoch === epoch && held.owner !== null && sameOwner(held.owner, me);
      },
      release: async (key, epoch) => {
        const held = leases.get(key);
        if (held?.epoch === epoch && held.owner && sameOwner(held.owner, me)) leases.set(key, { epoch, owner: null });
      },
      holder: async (key) => {
        const owner = leases.get(key)?.owner ?? null;
        return owner && lives(owner) ? owner : null;
      },
    },
  });
  return { open };
}
