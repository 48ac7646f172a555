/**
 * Refs by compare-and-swap without locks: a change is a record appended to one file, and it counts if, in file order, it makes a newer
 * version than the one that stands. Who appends reads on to learn whether its record counted. When the file has grown, a `closed` record
 * ends it; what stood then begins the file of the next generation, which anyone can write, since all would write the same.
 */
import { randomBytes } from "node:crypto";
import { decodeJson, encodeJson } from "./bytes.ts";
import type { Disk } from "./disk.ts";
import { isReadOnly } from "./diskerror.ts";
import type { Json, Refs } from "./ports.ts";
import type { Damage } from "./record.ts";
import { createSegment, openSegment, type Segment } from "./segment.ts";

interface Entry {
  /** Null: deleted. The version goes on when it comes again. */
  value: string | null;
  version: number;
}

/** A ref gets a value and a version. Whoever wrote it had seen the version before. */
interface Change {
  ref: string;
  version: number;
  next: string | null;
  /** By which its writer knows it again; empty in the first records of a generation. */
  id: string;
}

/** One file, as far as it has been read. */
interface Generation {
  number: number;
  segment: Segment;
  entries: Map<string, Entry>;
  end: number;
  /** Where the records end with which it began. */
  carried: number;
  closed: boolean;
  /** Changes of this process that still wait for their answer from it. */
  users: number;
}

/** A file is closed when it is larger than this, and most of it is history. */
const LARGE = 256 << 10;

export interface RefFile extends Refs {
  /** Bytes of the file that form no record. */
  damage(): Damage[];
  close(): void;
}

/**
 * Opens the refs in `directory` whose files are called `name.N`.
 * @param durable whether a change is synced before it is acknowledged; leases need not be, since no owner outlives the power.
 * @param large for tests: the size beyond which a file may be closed.
 */
export async function openRefs(
  disk: Disk,
  directory: string,
  name: string,
  durable = true,
  large = LARGE,
): Promise<RefFile> {
  const path = (number: number): string => `${directory}/${name}.${number}`;
  // Changes of this process whose records have not been read back yet. "late": it stands behind the closing record.
  const awaited = new Map<string, "no" | "yes" | "late" | null>();

  const generations = (): number[] =>
    disk
      .list(directory)
      .filter((file) => file.startsWith(`${name}.`) && /^[1-9]\d{0,8}$/.test(file.slice(name.length + 1)))
      .map((file) => Number(file.slice(name.length + 1)));

  const load = async (): Promise<Generation> => {
    for (;;) {
      const number = Math.max(0, ...generations());
      if (number === 0) {
        await createSegment(disk, path(1), name);
        continue;
      }
      const segment = openSegment(disk, path(number), name);
      // Else it was removed meanwhile, since there is a newer one.
      if (segment)
        return {
          number,
          segment,
          entries: new Map(),
          end: segment.start,
          carried: segment.start,
          closed: false,
          users: 0,
        };
    }
  };

  /** Applies the records that came since. */
  const scan = (of: Generation): void => {
    for (const record of of.segment.scan(of.end)) {
      of.end = record.end;
      const change = parse(record.payload);
      if (change === "closed") of.closed = true;
      if (!change || change === "closed") continue;
      if (change.id === "") of.carried = record.end;
      const answer = of.closed ? "late" : apply(of.entries, change) ? "yes" : "no";
      if (awaited.has(change.id)) awaited.set(change.id, answer);
    }
  };

  let now = await load();
  const closeUnused = (old: Generation): void => {
    if (old !== now && old.users === 0) old.segment.close();
  };

  /** Goes on to the generation that is not closed. */
  const follow = async (): Promise<void> => {
    for (scan(now); now.closed; scan(now)) {
      const { number, entries } = now;
      const newest = Math.max(...generations());
      if (newest <= number) {
        const records = [...entries].map(([ref, { value, version }]) =>
          encodeJson({ ref, version, next: value, id: "" }),
        );
        await createSegment(disk, path(number + 1), name, records);
      }
      const next = await load();
      if (next.number <= number) {
        next.segment.close();
        throw new Error(`${path(number)} is closed and has no successor: run \`shepherd fsck\`.`);
      }
      const before = now;
      now = next;
      closeUnused(before);
      for (const old of generations()) if (old < next.number - 1) disk.remove(path(old));
    }
  };
  /** As `follow`. On a disk that takes no writes, what stands in a closed generation is the newest there is. */
  const look = async (): Promise<Generation> => {
    try {
      await follow();
    } catch (error) {
      if (!isReadOnly(error)) throw error;
    }
    return now;
  };
  const roll = async (): Promise<void> => {
    const { segment, carried, closed, number } = now;
    if (closed || segment.size() <= large || segment.size() <= 4 * carried) return;
    segment.append([encodeJson({ closed: number })], -1);
    await follow();
  };

  await look();
  return {
    get: async (ref) => {
      const entry = (await look()).entries.get(ref);
      return entry && entry.value !== null ? { value: entry.value, version: entry.version } : null;
    },
    list: async (prefix) => {
      const refs: Array<{ name: string; value: string; version: number }> = [];
      for (const [ref, { value, version }] of (await look()).entries)
        if (value !== null && ref.startsWith(prefix)) refs.push({ name: ref, value, version });
      return refs.sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    cas: async (ref, expected, next) => {
      const id = randomBytes(9).toString("base64url");
      for (;;) {
        await follow();
        const ours = now;
        const entry = ours.entries.get(ref);
        if ((entry && entry.value !== null ? entry.version : 0) !== expected) return false;
        awaited.set(id, null);
        ours.users++;
        try {
          ours.segment.append([encodeJson({ ref, version: (entry?.version ?? 0) + 1, next, id })], -1);
          if (durable) await ours.segment.sync();
          scan(ours);
          const answer = awaited.get(id);
          if (answer === null) throw new Error(`The change of ${ref} cannot be read back: run \`shepherd fsck\`.`);
          if (answer === "no") return false;
          if (answer === "late") continue;
        } finally {
          awaited.delete(id);
          ours.users--;
          closeUnused(ours);
        }
        // The change counts, whether or not there is room for a new file.
        await roll().catch(() => {});
        return true;
      }
    },
    damage: () => {
      const found: Damage[] = [];
      for (const _ of now.segment.scan(now.segment.start, (each) => found.push(each)));
      return found;
    },
    close: () => {
      now.segment.close();
    },
  };
}

/**
 * Whether the change counts; if so, it stands from now on. A version that is newer by more than one follows on changes that were damaged, or
 * lost with the power: its writer had seen them.
 */
function apply(entries: Map<string, Entry>, { ref, version, next }: Change): boolean {
  if (version <= (entries.get(ref)?.version ?? 0)) return false;
  entries.set(ref, { value: next, version });
  return true;
}

function parse(payload: Uint8Array): Change | "closed" | null {
  let value: Json;
  try {
    value = decodeJson(payload);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  if (value.closed !== undefined) return "closed";
  const { ref, version, next, id } = value;
  if (typeof ref !== "string" || typeof id !== "string" || (next !== null && typeof next !== "string")) return null;
  if (!Number.isSafeInteger(version) || (version as number) < 1) return null;
  return value as unknown as Change;
}
