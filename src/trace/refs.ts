/**
 * Refs by compare-and-swap without locks: a change is a record appended to one file, and it counts if, in file order, the version
 * that it expects is the one that stands. Who appends reads on to learn whether its record counted. When the file has grown, a
 * `closed` record ends it; what stood then begins the file of the next generation, which anyone can write, since all would write the same.
 */
import { randomBytes } from "node:crypto";
import { decodeJson, encodeJson } from "./bytes.ts";
import type { Disk } from "./disk.ts";
import type { Refs } from "./ports.ts";
import type { Damage } from "./record.ts";
import { createSegment, openSegment, type Segment } from "./segment.ts";

interface Entry {
  value: string | null;
  version: number;
}

interface Change {
  ref: string;
  expected: number;
  next: string | null;
  id: string;
  /** Set in the first records of a generation: the version at which a ref was carried over. */
  version?: number;
}

/** A file is closed when it is larger than this and most of it is history. */
const LARGE = 256 << 10;

export interface RefFile extends Refs {
  /** Bytes of the file that form no record. */
  damage(): Damage[];
  close(): void;
}

/**
 * Opens the refs in `directory` whose files are called `name.N`.
 * @param durable whether a change is synced before it is acknowledged; leases need not be, since no owner outlives the power.
 */
export async function openRefs(disk: Disk, directory: string, name: string, durable = true): Promise<RefFile> {
  let entries = new Map<string, Entry>();
  let segment!: Segment;
  let generation = 0;
  let end = 0;
  let closed = false;
  let bytesAtStart = 0;
  const retired: Segment[] = [];
  // Changes of this process whose records have not been read back yet. "late": it stands behind the closing record.
  const awaited = new Map<string, "no" | "yes" | "late" | null>();

  const path = (number: number): string => `${directory}/${name}.${number}`;

  const newestGeneration = (): number => {
    let newest = 0;
    for (const file of disk.list(directory)) {
      if (!file.startsWith(`${name}.`)) continue;
      const number = Number(file.slice(name.length + 1));
      if (Number.isSafeInteger(number) && number > newest) newest = number;
    }
    return newest;
  };

  const load = async (): Promise<void> => {
    generation = newestGeneration();
    if (generation === 0) {
      await createSegment(disk, path(1), name);
      generation = 1;
    }
    const opened = openSegment(disk, path(generation), name);
    if (!opened) return load();
    // A change of this process may still be syncing the old one.
    if (segment) retired.push(segment);
    segment = opened;
    entries = new Map();
    closed = false;
    end = segment.start;
    scan();
    bytesAtStart = segment.size();
    await follow();
  };

  /** Applies the records that came since. */
  const scan = (): void => {
    for (const record of segment.scan(end)) {
      end = record.end;
      const change = parse(record.payload);
      if (!change) continue;
      if ("closed" in change) {
        closed = true;
        continue;
      }
      let answer: "no" | "yes" | "late" = "late";
      if (!closed) answer = apply(entries, change) ? "yes" : "no";
      if (awaited.has(change.id)) awaited.set(change.id, answer);
    }
  };

  const follow = async (): Promise<void> => {
    while (closed) {
      const next = generation + 1;
      const records = [...entries].map(([ref, entry]) =>
        encodeJson({ ref, expected: 0, next: entry.value, id: "", version: entry.version }),
      );
      await createSegment(disk, path(next), name, records);
      if (generation > 1) disk.remove(path(generation - 1));
      await load();
    }
  };

  const refresh = async (): Promise<void> => {
    scan();
    await follow();
  };

  await load();
  if (segment.size() > LARGE && segment.size() > 8 * entries.size * 200 && bytesAtStart > LARGE) {
    segment.append([encodeJson({ closed: generation + 1 })], -1);
    await refresh();
  }

  return {
    get: async (ref) => {
      await refresh();
      const entry = entries.get(ref);
      return entry && entry.value !== null ? { value: entry.value, version: entry.version } : null;
    },
    list: async (prefix) => {
      await refresh();
      return [...entries]
        .filter(([ref, entry]) => ref.startsWith(prefix) && entry.value !== null)
        .map(([ref, entry]) => ({ name: ref, value: entry.value!, version: entry.version }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    cas: async (ref, expected, next) => {
      for (;;) {
        await refresh();
        const entry = entries.get(ref);
        if ((entry && entry.value !== null ? entry.version : 0) !== expected) return false;
        const id = randomBytes(9).toString("base64url");
        const ours = segment;
        awaited.set(id, null);
        ours.append([encodeJson({ ref, expected, next, id })], -1);
        if (durable) await ours.sync();
        if (ours === segment) scan();
        const answer = awaited.get(id);
        awaited.delete(id);
        if (answer === "yes") return true;
        if (answer === "no") return false;
        if (answer === null) throw new Error(`The change of ${ref} cannot be read back: run \`shepherd fsck\`.`);
        await follow();
      }
    },
    damage: () => {
      const found: Damage[] = [];
      for (const _ of segment.scan(segment.start, (each) => found.push(each)));
      return found;
    },
    close: () => {
      for (const each of [...retired, segment]) each.close();
    },
  };
}

/** Whether the change counts; if so, it stands from now on. */
function apply(entries: Map<string, Entry>, change: Change): boolean {
  const before = entries.get(change.ref);
  const stands = before && before.value !== null ? before.version : 0;
  if (change.version === undefined && stands !== change.expected) return false;
  entries.set(change.ref, { value: change.next, version: change.version ?? (before?.version ?? 0) + 1 });
  return true;
}

function parse(payload: Uint8Array): Change | { closed: number } | null {
  try {
    const change = decodeJson(payload) as unknown as Change | { closed: number };
    if ("closed" in change) return change;
    return typeof change.ref === "string" && Number.isSafeInteger(change.expected) ? change : null;
  } catch {
    return null;
  }
}
