/** The logs of a store: one append-only file of frames each. */
import { encodeJson, linksIn, sha256, target } from "./bytes.ts";
import { type Cursor, counted, encodeFrame, frameHash, isLogId, parseFrame, type Strays } from "./chain.ts";
import type { Disk } from "./disk.ts";
import { isReadOnly } from "./diskerror.ts";
import type { Frame } from "./frame.ts";
import { advance, closeLog, framesFrom, type OpenLog, openLog, pass, tailOf, wakeTails } from "./openlog.ts";
import type { Hash, Logs } from "./ports.ts";
import type { Damage } from "./record.ts";
import { createSegment, recordsLength } from "./segment.ts";

export { type Cursor, encodeFrame, frameHash, headerHash } from "./chain.ts";

export interface FileLogs extends Logs {
  /** As `read`, from a cursor on; each frame with the cursor behind it and its own hash. `strays` is told what does not count. */
  readFrom(
    log: string,
    cursor: Cursor | null,
    strays?: Strays,
  ): AsyncIterable<{ frame: Frame; hash: Hash; cursor: Cursor }>;
  /**
   * Takes `cursor` for a place before which this process need not look, if the record at `last` is the frame that it stands behind. False,
   * and nothing taken, if it is not. Who keeps a cursor longer than the power may last must have synced the log before.
   */
  seek(log: string, cursor: Cursor, last: number): Promise<boolean>;
  /** The end of the log as far as it counts now. */
  end(log: string): Promise<Cursor>;
  /** Records that do not count, and bytes that form no record. */
  inspect(log: string): Promise<{ damage: Damage[]; stray: number[] }>;
  remove(log: string): void;
  /** Syncs what this process appended and closes all files. */
  close(): Promise<void>;
}

/** What the logs need of the rest of the store. */
export interface LogHooks {
  /** Called before a log is looked at for the first time: what a power loss left of it must be put in order before. */
  recover(log: string): Promise<void>;
  /** Syncs what frames name, or at least these objects and what they name; awaited before a log is synced. */
  syncObjects(ids?: readonly Hash[]): Promise<void>;
  /** Told when all frames before `seq` are synced. */
  synced(log: string, seq: number, closing: boolean): Promise<void>;
}

/** What is only written gets synced within this time, in ms. */
const GROUP = 50;

export function openLogs(disk: Disk, directory: string, hooks: LogHooks): FileLogs {
  disk.mkdir(directory);
  const logs = new Map<string, OpenLog>();
  let closed = false;
  const path = (log: string): string => {
    if (!isLogId(log)) throw new Error(`${JSON.stringify(log)} is no id of a log.`);
    return `${directory}/${log}.log`;
  };
  const open = (log: string, recovered: boolean): OpenLog | null => {
    const opened = logs.get(log) ?? openLog(disk, path(log), log, recovered);
    if (opened) logs.set(log, opened);
    return opened;
  };
  const close = (log: string, opened: OpenLog): void => {
    closeLog(opened);
    if (logs.get(log) === opened) logs.delete(log);
  };
  /** Null if there is no such log. On a disk that takes no writes it can be read without having been recovered. */
  const reading = async (log: string): Promise<OpenLog | null> => {
    const known = logs.get(log);
    if (known?.recovered) return known;
    if (closed) throw new Error("The store is closed.");
    path(log);
    try {
      await hooks.recover(log);
    } catch (error) {
      if (!isReadOnly(error)) throw error;
      return open(log, false);
    }
    // It may have been cut.
    if (known) close(log, known);
    return open(log, true);
  };
  const must = async (log: string): Promise<OpenLog> => {
    const opened = await reading(log);
    if (!opened) throw new Error(`There is no log ${log} in this store.`);
    return opened;
  };
  const writing = async (log: string): Promise<OpenLog> => {
    const opened = await must(log);
    if (opened.recovered) return opened;
    // It says why it cannot be; else it can be now.
    await hooks.recover(log);
    return must(log);
  };

  const syncOnce = async (log: string, opened: OpenLog, closing: boolean): Promise<void> => {
    opened.dirty = false;
    try {
      advance(opened);
      const { seen, end, names } = opened;
      if (seen <= opened.synced) return;
      opened.names = [];
      await hooks.syncObjects(names ?? undefined);
      await opened.segment.sync();
      opened.synced = seen;
      await hooks.synced(log, end.seq, closing);
    } catch (error) {
      opened.dirty = true;
      opened.names = null;
      throw error;
    }
  };
  /** Resolves when all that was appended before the call is synced; callers that come together share one sync. */
  const syncNow = async (log: string, opened: OpenLog, closing = false): Promise<void> => {
    // One that is under way may not have what came before this call.
    if (opened.syncing) await opened.syncing;
    opened.syncing ??= syncOnce(log, opened, closing).finally(() => {
      opened.syncing = null;
    });
    await opened.syncing;
  };

  return {
    create: async (header) => {
      const made = await createSegment(disk, path(header.id), "log", [encodeJson(header)]);
      if (!made) throw new Error(`The log ${header.id} exists already.`);
    },
    header: async (log) => (await reading(log))?.header ?? null,
    append: async (log, from, epoch, frames) => {
      const opened = await writing(log);
      const payloads = frames.map(encodeFrame);
      advance(opened);
      const { end } = opened;
      if (end.seq !== from || epoch < end.epoch) return false;
      let { prev } = end;
      for (const [i, frame] of frames.entries()) {
        if (frame.seq !== from + i || frame.epoch !== epoch || frame.prev !== prev)
          throw new Error(`The frame ${frame.seq} does not follow on the end of log ${log}.`);
        prev = frameHash(frame);
      }
      if (frames.length === 0) return true;
      opened.dirty = true;
      opened.timer ??= setTimeout(() => {
        opened.timer = null;
        if (opened.dirty) void syncNow(log, opened).catch(() => {});
      }, GROUP).unref();
      const offset = opened.segment.append(payloads, opened.seen);
      let ours = true;
      if (offset < 0) ours = advance(opened, frameHash(frames[0]!));
      else {
        opened.seen = offset + recordsLength(payloads);
        if (opened.names)
          for (const frame of frames) for (const each of linksIn(frame)) opened.names.push(target(each));
        pass(opened, { offset: opened.seen, seq: from + frames.length, prev, epoch });
      }
      wakeTails(opened);
      return ours;
    },
    read: async function* (log, from = 0) {
      for (const { frame } of framesFrom(await must(log), from)) yield frame;
    },
    readFrom: async function* (log, start, strays) {
      const opened = await must(log);
      for (const { frame, cursor } of counted(opened.segment, start ?? opened.first, strays))
        yield { frame, hash: cursor.prev, cursor };
    },
    tail: async function* (log, from, { signal }) {
      const opened = await must(log);
      const watch = (changed: () => void) => disk.watch?.(path(log), changed) ?? (() => {});
      for await (const { frame } of tailOf(opened, from, signal, watch)) yield frame;
    },
    sync: async (log) => {
      const opened = await reading(log);
      if (opened) await syncNow(log, opened);
    },
    list: async () =>
      disk
        .list(directory)
        .filter((name) => name.endsWith(".log") && isLogId(name.slice(0, -4)))
        .map((name) => name.slice(0, -4)),
    seek: async (log, cursor, last) => {
      const opened = await must(log);
      if (cursor.offset > opened.segment.size()) return false;
      const found = opened.segment.scan(last).next();
      if (found.done || found.value.offset !== last || found.value.end !== cursor.offset) return false;
      const frame = sha256(found.value.payload) === cursor.prev && parseFrame(found.value.payload, path(log));
      if (!frame || frame.seq + 1 !== cursor.seq || frame.epoch !== cursor.epoch) return false;
      if (cursor.seq > opened.end.seq) {
        opened.seen = cursor.offset;
        opened.names = null;
      }
      pass(opened, cursor);
      return true;
    },
    end: async (log) => {
      const opened = await must(log);
      advance(opened);
      return opened.end;
    },
    inspect: async (log) => {
      const opened = await must(log);
      const damage: Damage[] = [];
      const stray: number[] = [];
      const strays = { damaged: (bad: Damage) => damage.push(bad), stray: (at: number) => stray.push(at) };
      for (const _ of counted(opened.segment, opened.first, strays));
      return { damage, stray };
    },
    remove: (log) => {
      const opened = logs.get(log);
      if (opened) close(log, opened);
      disk.remove(path(log));
    },
    close: async () => {
      closed = true;
      const failures: unknown[] = [];
      for (const [log, opened] of [...logs]) {
        await opened.syncing?.catch(() => {});
        if (opened.dirty) await syncNow(log, opened, true).catch((error: unknown) => failures.push(error));
        close(log, opened);
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}
