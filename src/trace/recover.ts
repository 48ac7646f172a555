/**
 * Recovery of logs after power loss. What was only written may then be lost in part, in any order: a frame can be there, and an object that it
 * names not. Such a frame was never synced, so the log is cut before it.
 *
 * It is done once for each log in each boot, before any process of this boot looks at the log: until a log bears the mark of this boot, whoever
 * opens it takes the lease `recover` first. So nobody writes a log while it may be cut. The mark also says how far the log was synced when it
 * was set last; what stands before that is never cut, whatever may be missing. Marks are not synced: an older one only means more to look at.
 */
import { decodeJson, linksIn, parseLink } from "./bytes.ts";
import { type Counted, type Cursor, counted, openLogFile } from "./chain.ts";
import type { Disk } from "./disk.ts";
import type { PackedObjects } from "./objects.ts";
import type { Leases, Owner, Refs } from "./ports.ts";
import { type Followers, packShelf, startReach, traceFollowers } from "./reach.ts";
import { serial } from "./serial.ts";

export interface Recovery {
  /**
   * Puts a log in order if that was not done in this boot. Gives the sequence number of the first frame that was cut, null if none was.
   * Synced at return. Throws a sentence if another process does not come to an end with it.
   */
  recover(log: string): Promise<number | null>;
  /** Notes that all frames before `seq` are synced; not more often than once a second, unless it is the last time. */
  synced(log: string, seq: number, last: boolean): Promise<void>;
}

export interface RecoveryOptions {
  disk: Disk;
  /** Where the logs lie. */
  directory: string;
  objects: PackedObjects;
  /** Where marks are kept: refs that need not be synced. */
  refs: Refs;
  leases: Leases;
  me: () => Owner;
  /** What file trees name; without it, only what a frame names itself is looked for. */
  followers?: Partial<Followers> | undefined;
}

interface Mark {
  boot: string;
  /** All frames before it were synced when the mark was set. */
  seq: number;
}

const PATIENCE = 60_000;
const OFTEN = 1000;

export function openRecovery({ disk, directory, objects, refs, leases, me, followers }: RecoveryOptions): Recovery {
  const known: Followers = { tree: nothing, mtimes: nothing, chunks: nothing, ...followers, ...traceFollowers };
  const marked = new Map<string, number>();
  const inOrder = serial();

  const read = async (log: string): Promise<{ mark: Mark; version: number }> => {
    const ref = await refs.get(`mark/${log}`);
    return { mark: parseMark(ref?.value), version: ref?.version ?? 0 };
  };
  const write = async (log: string, seq: number): Promise<void> => {
    const { version } = await read(log);
    await refs.cas(`mark/${log}`, version, JSON.stringify({ boot: me().boot, seq } satisfies Mark));
  };
  const isDone = async (log: string): Promise<boolean> => (await read(log)).mark.boot === me().boot;

  /** The place before the first frame that lacks something, of those from `seq` on; and how many frames count. */
  const verify = async (
    frames: Iterable<Counted>,
    first: Cursor,
    seq: number,
  ): Promise<{ end: Cursor; whole: boolean }> => {
    let whole = true;
    objects.refresh();
    const reach = startReach(packShelf(objects), known, {
      onTrouble: ({ link, what }) => {
        // Nodes of conversations follow from the logs.
        if ((what === "missing" || what === "damaged") && parseLink(link)!.kind !== "items") whole = false;
      },
    });
    let end = first;
    for (const { frame, cursor } of frames) {
      if (frame.seq >= seq) await reach.follow(linksIn(frame));
      if (!whole) break;
      end = cursor;
    }
    return { end, whole };
  };

  const recoverNow = async (log: string): Promise<number | null> => {
    const file = openLogFile(disk, `${directory}/${log}.log`, log);
    if (!file) return null;
    try {
      const { mark } = await read(log);
      const { end, whole } = await verify(counted(file.segment, file.first), file.first, mark.seq);
      if (!whole) {
        file.segment.truncate(end.offset);
        await file.segment.sync();
      }
      // In a later boot, what is there has come from the disk. Without a mark it is not known whether this is one.
      await write(log, mark.boot === "" ? Math.min(mark.seq, end.seq) : end.seq);
      return whole ? null : end.seq;
    } finally {
      file.segment.close();
    }
  };

  const underLease = async (log: string): Promise<number | null> => {
    for (let wait = 1, since = performance.now(); ; wait = await pause(wait)) {
      if (await isDone(log)) return null;
      const epoch = await leases.acquire("recover");
      if (epoch !== null) {
        try {
          return (await isDone(log)) ? null : await recoverNow(log);
        } finally {
          await leases.release("recover", epoch);
        }
      }
      if (performance.now() - since > PATIENCE) {
        const pid = (await leases.holder("recover"))?.pid;
        throw new Error(`Process ${pid} does not come to an end with recovering the store: stop it and try again.`);
      }
    }
  };

  return {
    recover: async (log) => {
      if (await isDone(log)) return null;
      return inOrder(() => underLease(log));
    },
    synced: async (log, seq, closing) => {
      const now = performance.now();
      if (!closing && now - (marked.get(log) ?? Number.NEGATIVE_INFINITY) < OFTEN) return;
      marked.set(log, now);
      // Only a hint, for which nobody's sync must fail.
      await write(log, seq).catch(() => {});
    },
  };
}

const nothing = (): [] => [];
const pause = (ms: number): Promise<number> => new Promise((resolve) => setTimeout(resolve, ms, Math.min(2 * ms, 50)));

function parseMark(value: string | undefined): Mark {
  try {
    const mark = decodeJson(Buffer.from(value ?? "")) as unknown as Mark;
    if (typeof mark.boot === "string" && Number.isSafeInteger(mark.seq)) return mark;
  } catch {
    // As none.
  }
  return { boot: "", seq: 0 };
}
