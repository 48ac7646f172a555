/** An append-only file of records that many processes append to and read at once. */
import type { Disk, DiskFile } from "./disk.ts";
import { type Damage, encodeRecord, type Found, RECORD_HEAD, scan } from "./record.ts";

export const FORMAT = 1;

/** Thrown where a newer Shepherd wrote the file. */
export class NewerFormat extends Error {}

export interface Segment {
  readonly path: string;
  /** Offset of the first record. */
  readonly start: number;
  /** Appends one record for each payload in one write; gives the offset of the first if nothing else came between `expected` and it, else -1. */
  append(payloads: readonly Uint8Array[], expected: number): number;
  scan(from: number, damaged?: (damage: Damage) => void): Generator<Found>;
  /** The payload of the record at `offset`, unchecked: for content that verifies itself. */
  payload(offset: number, length: number): Buffer;
  overwrite(offset: number, payload: Uint8Array): void;
  truncate(size: number): void;
  size(): number;
  /**
   * Resolves when all that anybody appended before the call is synced; callers that come together share one sync. Once it has failed,
   * it fails for good: see that the disk is well, and start again.
   */
  sync(): Promise<void>;
  close(): void;
}

const heading = (type: string, version = FORMAT): Buffer => Buffer.from(`shepherd ${type} ${version}\n`);

/** Creates a segment with first records; false if it exists. */
export const createSegment = (
  disk: Disk,
  path: string,
  type: string,
  first: readonly Uint8Array[] = [],
): Promise<boolean> => disk.create(path, Buffer.concat([heading(type), ...first.map((each) => encodeRecord(each))]));

/** Opens a segment; null if there is none. Throws a sentence if the file is of another type or a newer version. */
export function openSegment(disk: Disk, path: string, type: string): Segment | null {
  const file = disk.open(path);
  if (!file) return null;
  try {
    checkHeading(file.read(0, 64), path, type);
  } catch (error) {
    file.close();
    throw error;
  }
  return segment(file, path, heading(type).length);
}

function checkHeading(bytes: Buffer, path: string, type: string): void {
  if (bytes.subarray(0, heading(type).length).equals(heading(type))) return;
  const match = /^shepherd ([a-z]+) (\d{1,9})\n/.exec(bytes.toString("latin1"));
  if (match && match[1] === type && Number(match[2]) > FORMAT)
    throw new NewerFormat(
      `${path} has format ${match[2]}, and this Shepherd knows formats up to ${FORMAT}: update Shepherd to read it.`,
    );
  throw new Error(`${path} is not a ${type} file of Shepherd: run \`shepherd fsck\`.`);
}

function segment(file: DiskFile, path: string, start: number): Segment {
  let failed: unknown = null;
  let synced = 0;
  let syncing: Promise<void> | null = null;

  const syncNow = async (): Promise<void> => {
    const covers = file.size();
    if (covers <= synced) return;
    // After a failure the kernel may take for clean what never reached the disk, and the next sync would succeed without it.
    if (failed) throw failed;
    try {
      await file.sync();
      synced = covers;
    } catch (error) {
      failed = error;
      throw error;
    }
  };
  return {
    path,
    start,
    append: (payloads, expected) => {
      const records = payloads.map((each) => encodeRecord(each));
      const bytes = records.length === 1 ? records[0]! : Buffer.concat(records);
      file.append(bytes);
      return file.size() === expected + bytes.length ? expected : -1;
    },
    scan: (from, damaged) => scan(file, Math.max(from, start), damaged),
    payload: (offset, length) => file.read(offset + RECORD_HEAD, length),
    overwrite: (offset, payload) => {
      synced = 0;
      file.overwrite(offset, encodeRecord(payload));
    },
    truncate: (size) => {
      synced = 0;
      file.truncate(size);
    },
    size: () => file.size(),
    sync: async () => {
      // One that is under way may not have what came before this call.
      if (syncing) await syncing;
      syncing ??= syncNow().finally(() => {
        syncing = null;
      });
      await syncing;
    },
    close: () => file.close(),
  };
}

/** Length of the records of `payloads` in a segment. */
export const recordsLength = (payloads: readonly Uint8Array[]): number =>
  payloads.reduce((sum, each) => sum + RECORD_HEAD + each.length, 0);
