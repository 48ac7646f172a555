/** All that lies in the packs of a directory, record by record, found without their indexes: for fsck. */
import { inflateRawSync } from "node:zlib";
import { sha256 } from "./bytes.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { pieces, type Shape } from "./examine.ts";
import { type Finding, quoted } from "./finding.ts";
import { DEFLATED, indexPath, parseIndex, RAW, TOMBSTONE, unpack } from "./pack.ts";
import { type Hash, MAX_OBJECT } from "./ports.ts";
import { breather, idKey, type Shelf } from "./reach.ts";
import { MAX_RECORD, RECORD_HEAD } from "./record.ts";
import { FORMAT } from "./segment.ts";
import { KEY } from "./tombstone.ts";

/** A record that cannot be used. */
export interface Broken {
  file: string;
  offset: number;
  end: number;
  shape: Shape;
  /** The object that it was, as far as that can be told. */
  id: Hash | null;
  /** Whether the bytes of the object are all there, and only what stands around them is damaged. */
  intact: boolean;
}

export interface Inventory extends Shelf {
  readonly broken: readonly Broken[];
  readonly objects: number;
  /** Takes in what lies in the packs and was not there at the last call. */
  scan(): AsyncGenerator<Finding>;
  close(): void;
}

export interface InventoryOptions {
  /** Checks the content of each object against its id, and each row of the indexes. */
  full: boolean;
  /** Whether all of it can be computed anew. */
  cache: boolean;
  onProgress: (done: number, total: number) => void;
  signal: AbortSignal | undefined;
}

interface PackFile {
  name: string;
  file: DiskFile;
  /** How far it was read. */
  end: number;
  /** Where the last damage was seen. */
  torn: number;
}

const HEADING = `shepherd pack ${FORMAT}\n`;

/** @param folder relative to `directory` */
export function takeInventory(disk: Disk, directory: string, folder: string, options: InventoryOptions): Inventory {
  const severity = options.cache ? "warning" : "error";
  const rebuilt = `Delete ${folder}: it is computed anew.`;
  const rest = breather(options.signal);
  // Held open, so that what a collection removes meanwhile can still be read.
  const files: PackFile[] = [];
  // Where an object lies: number of its file and offset, in one number.
  const places = new Map<string, number>();
  const forgotten = new Set<string>();
  const broken: Broken[] = [];
  const SPAN = 2 ** 40;

  const at = (id: Hash): { file: DiskFile; offset: number } | null => {
    const place = places.get(idKey(id));
    return place === undefined ? null : { file: files[Math.floor(place / SPAN)]!.file, offset: place % SPAN };
  };

  function* open(): Generator<Finding> {
    for (const name of disk.list(`${directory}/${folder}`)) {
      const path = `${folder}/${name}`;
      if (!/^\d{6}\.pack$/.test(name)) {
        if (name.endsWith(".tmp"))
          yield { severity: "note", what: "leftover", file: path, text: `${path} was left by a process that was killed.`, repair: "`shepherd gc` removes it." };
        continue;
      }
      if (files.some((each) => each.name === path)) continue;
      let file: DiskFile | null;
      try {
        file = disk.open(`${directory}/${path}`);
        if (!file) continue;
        file.size();
        file.read(0, 1);
      } catch (error) {
        yield { severity, what: "unreadable", file: path, text: `${path} cannot be read: ${(error as Error).message}.` };
        continue;
      }
      files.push({ name: path, file, end: HEADING.length, torn: -1 });
      yield* checkHeading(file, path);
    }
  }

  function* checkHeading(file: DiskFile, path: string): Generator<Finding> {
    const heading = file.read(0, 32).toString("latin1");
    if (heading.startsWith(HEADING)) return;
    const version = /^shepherd pack (\d{1,9})\n/.exec(heading)?.[1];
    const text = version
      ? `${path} has format ${version}, and this Shepherd knows formats up to ${FORMAT}.`
      : `The heading of ${path} is damaged, so no Shepherd opens it; its records are all where they were.`;
    const repair = version
      ? `Update Shepherd; if no newer one ever wrote here, the heading is damaged and should read ${quoted(HEADING)}.`
      : `Its first ${HEADING.length} bytes should read ${quoted(HEADING)}.`;
    yield { severity, what: "heading", file: path, offset: 0, text, repair: options.cache ? rebuilt : repair };
  }

  async function* scanFile(pack: PackFile, index: number, before: number): AsyncGenerator<Finding> {
    for (const piece of pieces(pack.file, pack.end)) {
      await rest();
      options.onProgress(before + piece.end, before + pack.file.size());
      if (piece.what === "damage") {
        if (piece.shape === "broken") broken.push(identify(pack, piece.offset, piece.end, piece.shape));
        else if (piece.offset !== pack.torn) yield torn(pack.name, piece.offset);
        pack.torn = piece.offset;
        // It may be whole at the next look.
        if (piece.shape === "torn" && piece.end === pack.file.size()) return;
      } else {
        const { offset, payload } = piece;
        const key = payload.toString("latin1", 0, KEY);
        const wrong = wrongWith(payload, options.full);
        if (wrong) yield unusable(pack.name, offset, payload, wrong);
        else if (payload[KEY] === TOMBSTONE) forgotten.add(key);
        else places.set(key, index * SPAN + offset);
      }
      pack.end = piece.end;
    }
  }

  const unusable = (file: string, offset: number, payload: Buffer, wrong: string): Finding => {
    const id = payload.length < KEY ? undefined : payload.toString("hex", 0, KEY);
    const text = `The record at byte ${offset} of ${file}${id ? `, of the object ${id},` : ""} ${wrong}.`;
    return { severity, what: "object", file, offset, text, ...(id && { id }), ...(options.cache && { repair: rebuilt }) };
  };

  const torn = (file: string, offset: number): Finding => ({
    severity: "note",
    what: "torn",
    file,
    offset,
    text: `${file} has an unfinished record at byte ${offset}: a process was killed, or is just writing; nothing names it.`,
  });

  const identify = ({ name, file }: PackFile, offset: number, end: number, shape: Shape): Broken => {
    const payload = end - offset > RECORD_HEAD + 2 * MAX_OBJECT ? Buffer.alloc(0) : file.read(offset, end - offset).subarray(RECORD_HEAD);
    return { file: name, offset, end, shape, ...identity(payload) };
  };

  return {
    broken,
    get objects() {
      return places.size;
    },
    holds: (id) => places.has(idKey(id)) || forgotten.has(idKey(id)),
    read: (id) => {
      const place = at(id);
      if (!place) return forgotten.has(idKey(id)) ? "forgotten" : "missing";
      const head = place.file.read(place.offset, RECORD_HEAD);
      // Somebody may have cut the file meanwhile.
      if (head.length < RECORD_HEAD) return "damaged";
      const length = Math.min(head.readUInt32LE(4), MAX_RECORD);
      return unpack(place.file.read(place.offset + RECORD_HEAD, length), id) ?? "damaged";
    },
    scan: async function* () {
      yield* open();
      let before = 0;
      for (const [index, pack] of files.entries()) {
        const fresh = pack.end === HEADING.length;
        yield* scanFile(pack, index, before);
        before += pack.file.size();
        if (fresh) yield* checkIndexOf(pack, index);
      }
    },
    close: () => {
      for (const { file } of files) file.close();
    },
  };

  function* checkIndexOf(pack: PackFile, index: number): Generator<Finding> {
    const path = indexPath(pack.name);
    let bytes: Buffer | null;
    try {
      bytes = disk.read(`${directory}/${path}`);
    } catch (error) {
      yield { severity: "warning", what: "unreadable", file: path, text: `${path} cannot be read: ${(error as Error).message}.` };
      return;
    }
    if (!bytes) return;
    const sorted = parseIndex(bytes);
    const wrong = !sorted || sorted.covers > pack.file.size() ? "is damaged" : options.full ? mismatch() : null;
    if (wrong)
      yield { severity: "warning", what: "index", file: path, text: `The index ${path} ${wrong}.`, repair: `Delete ${path}: it is made anew.` };

    function mismatch(): string | null {
      const known = new Set(broken.filter(({ file }) => file === pack.name).map(({ offset }) => offset));
      for (const [id, { offset }] of sorted!.entries())
        if (!known.has(offset) && pack.file.read(offset + RECORD_HEAD, KEY).toString("hex") !== id)
          return `leads to a wrong place for the object ${id}`;
      for (const [key, place] of places) {
        if (Math.floor(place / SPAN) !== index || place % SPAN >= sorted!.covers) continue;
        const id = Buffer.from(key, "latin1").toString("hex");
        if (!sorted!.find(id)) return `lacks the object ${id}`;
      }
      return null;
    }
  }
}

/** What is wrong with an intact record as that of an object; null if nothing is. */
function wrongWith(payload: Buffer, full: boolean): string | null {
  if (payload.length <= KEY) return "is too short";
  const codec = payload[KEY];
  if (codec === TOMBSTONE) return null;
  if (codec !== RAW && codec !== DEFLATED) return `has the unknown encoding ${codec}: a newer Shepherd wrote it, or it is damaged`;
  return full && !unpack(payload, payload.toString("hex", 0, KEY)) ? "has not the content that its id says" : null;
}

/** Which object a damaged record was. One flipped bit leaves either its hash or its content whole. */
function identity(payload: Buffer): { id: Hash | null; intact: boolean } {
  if (payload.length <= KEY) return { id: payload.length === KEY ? payload.toString("hex") : null, intact: false };
  const key = payload.toString("hex", 0, KEY);
  const body = payload.subarray(KEY + 1);
  const hashes = [sha256(body)];
  try {
    hashes.unshift(sha256(inflateRawSync(body, { maxOutputLength: MAX_OBJECT })));
  } catch {
    // Not deflated.
  }
  for (const hash of hashes) {
    if (hash === key) return { id: key, intact: true };
    if (distance(hash, key) === 1) return { id: hash, intact: true };
  }
  return { id: key, intact: false };
}

function distance(a: Hash, b: Hash): number {
  const x = Buffer.from(a, "hex");
  const y = Buffer.from(b, "hex");
  let bits = 0;
  for (let i = 0; i < KEY; i++) for (let d = x[i]! ^ y[i]!; d; d &= d - 1) bits++;
  return bits;
}
