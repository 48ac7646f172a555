/** A log that a process has open: how far it has looked, and what it knows of it. */
import { type Counted, type Cursor, counted, type LogFile, openLogFile } from "./chain.ts";
import type { Disk } from "./disk.ts";
import type { Hash } from "./ports.ts";

export interface OpenLog extends LogFile {
  end: Cursor;
  /** Size of the file when it was last looked through up to `end`. */
  seen: number;
  /** Cursors at each multiple of STRIDE, as far as this process has come by them. */
  cursors: Cursor[];
  /** Whether what a power loss left of it is in order. */
  recovered: boolean;
  closed: boolean;
  /** Called when something was appended. */
  waiters: Set<() => void>;
  /** Size up to which frames are synced, with the objects that they name. */
  synced: number;
  /** Whether this process appended something since. */
  dirty: boolean;
  /** Objects that the frames name which are not synced; null if some of these frames are not this process's. */
  names: Hash[] | null;
  syncing: Promise<void> | null;
  timer: NodeJS.Timeout | null;
}

const STRIDE = 256;
/** A tail looks by itself so often, in ms, where it is not told. */
const LOOK = 200;

/** Null if there is no such log. */
export function openLog(disk: Disk, path: string, log: string, recovered: boolean): OpenLog | null {
  const file = openLogFile(disk, path, log);
  return (
    file && {
      ...file,
      end: file.first,
      seen: 0,
      cursors: [file.first],
      recovered,
      closed: false,
      waiters: new Set(),
      synced: 0,
      dirty: false,
      names: null,
      syncing: null,
      timer: null,
    }
  );
}

export function closeLog(opened: OpenLog): void {
  if (opened.timer) clearTimeout(opened.timer);
  opened.closed = true;
  opened.segment.close();
  wakeTails(opened);
}

/** Takes note that the log counts at least as far as `cursor`. */
export function pass(opened: OpenLog, cursor: Cursor): void {
  if (cursor.seq <= opened.end.seq) return;
  opened.end = cursor;
  if (cursor.seq % STRIDE === 0) opened.cursors[cursor.seq / STRIDE] = cursor;
}

/** Takes in what others appended; true if `wanted` is the hash of one of these frames. */
export function advance(opened: OpenLog, wanted?: Hash): boolean {
  const size = opened.segment.size();
  if (size === opened.seen) return false;
  let found = false;
  opened.names = null;
  for (const { cursor } of counted(opened.segment, opened.end)) {
    if (cursor.prev === wanted) found = true;
    pass(opened, cursor);
  }
  // Not what came while it was looked through: the next look begins at `end` anyway.
  opened.seen = size;
  return found;
}

/** The frames that count now, from sequence number `seq` on. `at` is a cursor before it, where one is known. */
export function* framesFrom(opened: OpenLog, seq: number, at?: Cursor): Generator<Counted> {
  for (const each of counted(opened.segment, at ?? cursorBefore(opened, seq))) {
    pass(opened, each.cursor);
    if (each.frame.seq >= seq) yield each;
  }
}

function cursorBefore(opened: OpenLog, seq: number): Cursor {
  if (seq >= opened.end.seq) return opened.end;
  let at = Math.floor(Math.max(0, seq) / STRIDE);
  while (!opened.cursors[at]) at--;
  return opened.cursors[at]!;
}

export function wakeTails(opened: OpenLog): void {
  for (const wake of opened.waiters) wake();
}

/** As `framesFrom`, then waits for more until `signal` aborts or the log is closed. `watch` calls back when its file changed. */
export async function* tailOf(
  opened: OpenLog,
  seq: number,
  signal: AbortSignal,
  watch: (changed: () => void) => () => void,
): AsyncGenerator<Counted> {
  let at: Cursor | undefined;
  let woken = true;
  let wake = (): void => {};
  const notify = (): void => {
    woken = true;
    wake();
  };
  opened.waiters.add(notify);
  const unwatch = watch(notify);
  signal.addEventListener("abort", notify);
  try {
    while (!signal.aborted && !opened.closed) {
      woken = false;
      // Frames are read one at a time as they are taken: a reader that stops reading holds nothing.
      for (const each of framesFrom(opened, seq, at)) {
        at = each.cursor;
        yield each;
        if (signal.aborted || opened.closed) return;
      }
      if (woken) continue;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, LOOK);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  } finally {
    unwatch();
    opened.waiters.delete(notify);
    signal.removeEventListener("abort", notify);
  }
}
