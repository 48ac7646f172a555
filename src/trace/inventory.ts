/** All that lies in the packs of a directory, record by record, found without their indexes: for fsck. */
import type { Disk, DiskFile } from "./disk.ts";
import { pieces } from "./examine.ts";
import { because, error, type Finding, type Fix, headingFinding, note, warning } from "./finding.ts";
import { unflip } from "./flip.ts";
import { indexPath, isCodec, parseIndex, TOMBSTONE, unpack } from "./pack.ts";
import { KEY } from "./packindex.ts";
import type { Hash } from "./ports.ts";
import { breather, idKey, type Shelf } from "./reach.ts";
import { MAX_RECORD, RECORD_HEAD } from "./record.ts";
import { FORMAT } from "./segment.ts";

/** A record that cannot be used. */
export interface Broken {
  file: string;
  offset: number;
  end: number;
  /** The object that it was, as far as that can be told. */
  id: Hash | null;
  /** Where one flipped bit explains it. */
  fix: Fix | null;
}

export interface Inventory extends Shelf {
  holds(id: Hash): boolean;
  isForgotten(id: Hash): boolean;
  read(id: Hash): ReturnType<Shelf["read"]>;
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
  /** Where unfinished records were seen. */
  torn: Set<number>;
}

/** Unfinished records of one pack beyond this number are told as a number. */
const MOST = 20;

const HEADING = `shepherd pack ${FORMAT}\n`;

/** @param folder relative to `directory` */
export function takeInventory(disk: Disk, directory: string, folder: string, options: InventoryOptions): Inventory {
  /** Damage in a cache is never an error. */
  const found = (finding: Finding): Finding =>
    options.cache ? { ...finding, severity: "warning", repair: `Delete ${folder}: it is computed anew.` } : finding;
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
          yield note(
            "leftover",
            { file: path },
            `${path} was left by a process that was killed.`,
            "`shepherd gc` removes it.",
          );
        continue;
      }
      if (files.some((each) => each.name === path)) continue;
      let file: DiskFile | null;
      try {
        file = disk.open(`${directory}/${path}`);
        if (!file) continue;
        file.size();
        file.read(0, 1);
      } catch (wrong) {
        yield found(error("unreadable", { file: path }, `${path} cannot be read: ${because(wrong)}`));
        continue;
      }
      files.push({ name: path, file, end: HEADING.length, torn: new Set() });
      const start = file.read(0, 64);
      if (!start.toString("latin1").startsWith(HEADING)) yield found(headingFinding(path, "pack", start));
    }
  }

  async function* scanFile(pack: PackFile, index: number, before: number): AsyncGenerator<Finding> {
    for (const piece of pieces(pack.file, pack.end)) {
      await rest();
      options.onProgress(before + piece.end, before + pack.file.size());
      if (piece.what === "damage") {
        if (piece.shape === "broken") broken.push(identify(pack, piece.offset, piece.end));
        else if (!pack.torn.has(piece.offset)) {
          pack.torn.add(piece.offset);
          if (pack.torn.size <= MOST) yield torn(pack.name, piece.offset);
        }
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
    return found(error("object", { file, offset, ...(id && { id }) }, text));
  };

  const torn = (file: string, offset: number): Finding =>
    note("torn", { file, offset }, `${file} has an unfinished record at byte ${offset}, which nothing names.`);

  const identify = ({ name, file }: PackFile, offset: number, end: number): Broken => {
    const flip = end - offset > MAX_RECORD + RECORD_HEAD ? null : unflip(file.read(offset, end - offset));
    const key = (flip?.record ?? file.read(offset, RECORD_HEAD + KEY)).subarray(RECORD_HEAD, RECORD_HEAD + KEY);
    if (flip?.record[RECORD_HEAD + KEY] === TOMBSTONE) forgotten.add(key.toString("latin1"));
    const fix = flip && { file: name, offset: offset + flip.at, byte: flip.byte };
    return { file: name, offset, end, id: key.length === KEY ? key.toString("hex") : null, fix };
  };

  return {
    broken,
    get objects() {
      return places.size;
    },
    holds: (id) => places.has(idKey(id)) || forgotten.has(idKey(id)),
    isForgotten: (id) => !places.has(idKey(id)) && forgotten.has(idKey(id)),
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
        if (!fresh) continue;
        const more = pack.torn.size - MOST;
        if (more > 0) yield note("torn", { file: pack.name }, `${pack.name} has ${more} more unfinished records.`);
        yield* checkIndexOf(pack, index);
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
    } catch (wrong) {
      yield warning("unreadable", { file: path }, `${path} cannot be read: ${because(wrong)}`);
      return;
    }
    if (!bytes) return;
    const sorted = parseIndex(bytes);
    const wrong = !sorted || sorted.covers > pack.file.size() ? "is damaged" : options.full ? mismatch() : null;
    if (wrong)
      yield warning("index", { file: path }, `The index ${path} ${wrong}.`, `Delete ${path}: it is made anew.`);

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
  const codec = payload[KEY]!;
  if (codec === TOMBSTONE) return null;
  if (!isCodec(codec)) return `has the unknown encoding ${codec}: a newer Shepherd wrote it, or it is damaged`;
  return full && !unpack(payload, payload.toString("hex", 0, KEY)) ? "has not the content that its id says" : null;
}
