/** The logs of a store: one append-only file of frames each. */
import { decodeJson, encodeJson, sha256 } from "./bytes.ts";
import type { Disk } from "./disk.ts";
import { checkFrame, type Frame } from "./frame.ts";
import type { Hash, Json, LogHeader, Logs } from "./ports.ts";
import type { Damage } from "./record.ts";
import { createSegment, NewerFormat, openSegment, type Segment } from "./segment.ts";

/** Where reading a log can go on without what came before. */
export interface Cursor {
  offset: number;
  /** The sequence number expected next, the hash of the frame before it, the newest epoch seen. */
  seq: number;
  prev: Hash;
  epoch: number;
}

export interface FileLogs extends Logs {
  /** As `read`, from a cursor on; each frame with the cursor behind it and its own hash. */
  readFrom(log: string, cursor: Cursor | null): AsyncIterable<{ frame: Frame; hash: Hash; cursor: Cursor }>;
  /** Lets this process take `cursor` for true, so that it need not read the log from its start. */
  seek(log: string, cursor: Cursor): void;
  /** The end of the log as far as it counts now. */
  end(log: string): Promise<Cursor>;
  /** Records that do not count, and bytes that form no record. */
  inspect(log: string): Promise<{ damage: Damage[]; stray: number[] }>;
  /** Cuts a log at a cursor, after power loss only: what is behind it was never synced. */
  cut(log: string, cursor: Cursor): void;
  remove(log: string): void;
  close(): void;
}

interface Open {
  segment: Segment;
  header: LogHeader;
  first: Cursor;
  end: Cursor;
  waiters: Set<() => void>;
  /** Appends by this process so far, and how many of them are synced. */
  appended: number;
  synced: number;
  syncing: Promise<void> | null;
  timer: NodeJS.Timeout | null;
}

/** What is only written gets synced within this time, in ms. */
const GROUP = 50;

const ID = /^[0-9a-f]{32}$/;

/** @param before syncs what frames name; awaited before a log is synced. */
export function openLogs(disk: Disk, directory: string, before: () => Promise<void>): FileLogs {
  disk.mkdir(directory);
  const logs = new Map<string, Open>();
  const path = (log: string): string => {
    if (!ID.test(log)) throw new Error(`${JSON.stringify(log)} is no id of a log.`);
    return `${directory}/${log}.log`;
  };

  const open = (log: string): Open | null => {
    const known = logs.get(log);
    if (known) return known;
    const segment = openSegment(disk, path(log), "log");
    if (!segment) return null;
    const first = segment.scan(segment.start).next();
    const header = first.done ? null : parseHeader(first.value.payload);
    if (first.done || !header || first.value.offset !== segment.start) {
      segment.close();
      throw new Error(`The header of log ${log} is damaged: run \`shepherd fsck\`.`);
    }
    const start = { offset: first.value.end, seq: 0, prev: sha256(first.value.payload), epoch: 0 };
    const opened: Open = {
      segment,
      header,
      first: start,
      end: start,
      waiters: new Set(),
      appended: 0,
      synced: 0,
      syncing: null,
      timer: null,
    };
    logs.set(log, opened);
    return opened;
  };
  const must = (log: string): Open => {
    const opened = open(log);
    if (!opened) throw new Error(`There is no log ${log} in this store.`);
    return opened;
  };

  const advance = (opened: Open): void => {
    for (const { cursor } of counted(opened.segment, opened.end)) opened.end = cursor;
  };

  /** Resolves when all that was appended before the call is synced; callers that come together share one sync. */
  const syncNow = async (opened: Open): Promise<void> => {
    const wanted = opened.appended;
    while (opened.synced < wanted) {
      opened.syncing ??= (async () => {
        if (opened.timer) clearTimeout(opened.timer);
        opened.timer = null;
        const covers = opened.appended;
        try {
          await before();
          await opened.segment.sync();
          opened.synced = covers;
        } finally {
          opened.syncing = null;
        }
      })();
      await opened.syncing;
    }
  };

  return {
    create: async (header) => {
      const made = await createSegment(disk, path(header.id), "log", [encodeJson(header)]);
      if (!made) throw new Error(`The log ${header.id} exists already.`);
    },
    header: async (log) => open(log)?.header ?? null,
    append: async (log, from, epoch, frames) => {
      const opened = must(log);
      advance(opened);
      const { end } = opened;
      if (end.seq !== from || epoch < end.epoch) return false;
      const bytes = frames.map(encodeFrame);
      // Not from `end.offset`, behind which records that do not count may lie.
      const size = opened.segment.size();
      const alone = opened.segment.append(bytes, size) >= 0;
      opened.appended++;
      opened.timer ??= setTimeout(() => void syncNow(opened).catch(() => {}), GROUP).unref();
      if (alone)
        opened.end = { offset: opened.segment.size(), seq: from + frames.length, prev: sha256(bytes.at(-1)!), epoch };
      else {
        const wanted = sha256(bytes[0]!);
        let ours = false;
        for (const { cursor } of counted(opened.segment, end)) {
          if (cursor.seq === from + 1) ours = cursor.prev === wanted;
          opened.end = cursor;
        }
        if (!ours) return false;
      }
      for (const wake of opened.waiters) wake();
      return true;
    },
    read: async function* (log, from = 0) {
      const opened = must(log);
      const start = from >= opened.end.seq ? opened.end : opened.first;
      for (const { frame, cursor } of counted(opened.segment, start)) {
        if (cursor.seq > opened.end.seq) opened.end = cursor;
        if (frame.seq >= from) yield frame;
      }
    },
    readFrom: async function* (log, cursor) {
      const opened = must(log);
      for (const each of counted(opened.segment, cursor ?? opened.first)) {
        if (each.cursor.seq > opened.end.seq) opened.end = each.cursor;
        yield { frame: each.frame, hash: each.cursor.prev, cursor: each.cursor };
      }
    },
    tail: async function* (log, from, { signal }) {
      const opened = must(log);
      let at = from >= opened.end.seq && from > 0 ? opened.end : opened.first;
      let woken = true;
      let wake = (): void => {};
      const notify = (): void => {
        woken = true;
        wake();
      };
      opened.waiters.add(notify);
      const unwatch = disk.watch?.(path(log), notify);
      signal.addEventListener("abort", notify);
      try {
        while (!signal.aborted) {
          woken = false;
          // Frames are read one at a time as they are taken: a reader that stops reading holds nothing.
          for (const { frame, cursor } of counted(opened.segment, at)) {
            at = cursor;
            if (frame.seq >= from) yield frame;
            if (signal.aborted) return;
          }
          if (woken) continue;
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, 200);
            wake = () => {
              clearTimeout(timer);
              resolve();
            };
          });
        }
      } finally {
        unwatch?.();
        opened.waiters.delete(notify);
        signal.removeEventListener("abort", notify);
      }
    },
    sync: async (log) => {
      const opened = logs.get(log);
      if (opened) await syncNow(opened);
    },
    list: async () =>
      disk
        .list(directory)
        .filter((name) => ID.test(name.slice(0, -4)) && name.endsWith(".log"))
        .map((name) => name.slice(0, -4)),
    seek: (log, cursor) => {
      const opened = must(log);
      if (cursor.seq > opened.end.seq && cursor.offset <= opened.segment.size()) opened.end = cursor;
    },
    end: async (log) => {
      const opened = must(log);
      advance(opened);
      return opened.end;
    },
    inspect: async (log) => {
      const opened = must(log);
      const damage: Damage[] = [];
      const stray: number[] = [];
      for (const each of counted(
        opened.segment,
        opened.first,
        (bad) => damage.push(bad),
        (at) => stray.push(at),
      ))
        void each;
      return { damage, stray };
    },
    cut: (log, cursor) => {
      const opened = must(log);
      opened.segment.truncate(cursor.offset);
      opened.end = cursor;
    },
    remove: (log) => {
      const opened = logs.get(log);
      if (opened) {
        if (opened.timer) clearTimeout(opened.timer);
        opened.segment.close();
      }
      logs.delete(log);
      disk.remove(path(log));
    },
    close: () => {
      for (const opened of logs.values()) {
        if (opened.timer) clearTimeout(opened.timer);
        opened.segment.close();
      }
      logs.clear();
    },
  };
}

const encoded = new WeakMap<Frame, Buffer>();

/** Canonical bytes of a frame. A frame does not change once it is made. */
export function encodeFrame(frame: Frame): Buffer {
  let bytes = encoded.get(frame);
  if (!bytes) {
    bytes = encodeJson(frame);
    encoded.set(frame, bytes);
  }
  return bytes;
}

/** What the first frame names as the one before it. */
export const headerHash = (header: LogHeader): Hash => sha256(encodeJson(header));

export const frameHash = (frame: Frame): Hash => sha256(encodeFrame(frame));

/**
 * The frames that count, in file order: the first with the sequence number expected next that names the frame before it and is of no
 * older epoch than any before. All others are what a fenced or torn writer left.
 */
function* counted(
  segment: Segment,
  from: Cursor,
  damaged?: (damage: Damage) => void,
  stray?: (offset: number) => void,
): Generator<{ frame: Frame; cursor: Cursor }> {
  let { seq, prev, epoch } = from;
  for (const record of segment.scan(from.offset, damaged)) {
    let value: Json;
    try {
      value = decodeJson(record.payload);
    } catch {
      damaged?.({ offset: record.offset, end: record.end });
      continue;
    }
    const frame = checkFrame(value);
    if (typeof frame === "string") {
      if (frame.startsWith("has version")) throw new NewerFormat(`A frame of ${segment.path} ${frame}.`);
      damaged?.({ offset: record.offset, end: record.end });
      continue;
    }
    if (frame.seq !== seq || frame.prev !== prev || frame.epoch < epoch) {
      stray?.(record.offset);
      continue;
    }
    seq++;
    prev = sha256(record.payload);
    epoch = frame.epoch;
    yield { frame, cursor: { offset: record.end, seq, prev, epoch } };
  }
}

function parseHeader(payload: Uint8Array): LogHeader | null {
  try {
    const header = decodeJson(payload) as unknown as LogHeader;
    if (header?.type !== "log" || !ID.test(header.id)) return null;
    if (header.v !== 1)
      throw new NewerFormat(
        `The log ${header.id} has version ${header.v}, and this Shepherd knows version 1: update Shepherd.`,
      );
    return header;
  } catch (error) {
    if (error instanceof NewerFormat) throw error;
    return null;
  }
}
