/**
 * Reads tar archives: ustar, pax and GNU. Names and targets are byte strings, as they stand there, and times go to the nanosecond. What is no archive,
 * or would be read otherwise by others, is refused with a sentence, and never passed over.
 */

export interface TarEntry {
  path: string;
  type: "file" | "hard" | "link" | "dir" | "fifo" | "device";
  /** What a link names. */
  target: string;
  mode: number;
  uid: number;
  gid: number;
  /** Of a file; 0 of all others. */
  size: number;
  /** Nanoseconds since 1970. */
  ns: bigint;
}

/** Takes the content of a file, piece by piece. */
export interface Sink {
  write(bytes: Buffer): void;
  end(): void;
}

/** Thrown with a sentence for bytes that are no archive that can be read. */
export class TarError extends Error {}

const BLOCK = 512;
/** Names and attributes of one entry take no more. */
const META = 1 << 20;

/** Bytes that come in pieces of any size, taken in pieces that are asked for. */
class Bytes {
  private left: Buffer = Buffer.alloc(0);
  private readonly pieces: AsyncIterator<Buffer>;

  constructor(pieces: AsyncIterable<Buffer>) {
    this.pieces = pieces[Symbol.asyncIterator]();
  }

  /** Up to `most` bytes that are there; null at the end. */
  async some(most: number): Promise<Buffer | null> {
    while (this.left.length === 0) {
      const { value, done } = await this.pieces.next();
      if (done) return null;
      this.left = value;
    }
    const piece = this.left.subarray(0, most);
    this.left = this.left.subarray(piece.length);
    return piece;
  }

  /** Exactly so many; null where nothing is left. */
  async exactly(length: number): Promise<Buffer | null> {
    const pieces: Buffer[] = [];
    let have = 0;
    while (have < length) {
      const piece = await this.some(length - have);
      if (!piece) break;
      pieces.push(piece);
      have += piece.length;
    }
    if (have === 0 && length > 0) return null;
    if (have < length) bad("it is cut off");
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }
}

/** Reads all entries in their order, and what comes behind the last. `visit` gives who takes the content of a file; null passes over it. */
export async function readTar(pieces: AsyncIterable<Buffer>, visit: (entry: TarEntry) => Sink | null): Promise<void> {
  const bytes = new Bytes(pieces);
  let global: Pax = {};
  let next: Pax = {};
  let entries = 0;
  for (;;) {
    const block = await bytes.exactly(BLOCK);
    // Some end without the two blocks of zeroes.
    if (!block || isZero(block)) break;
    const head = parseHead(block);
    const meta = async (): Promise<Buffer> => {
      if (head.size > META) bad("an entry has more than 1 MiB of attributes");
      return (await bytes.exactly(padded(head.size)))?.subarray(0, head.size) ?? bad("it is cut off");
    };
    if (head.flag === "g") global = { ...global, ...parsePax(await meta()) };
    else if (head.flag === "x") next = { ...next, ...parsePax(await meta()) };
    else if (head.flag === "L") next.path = untilZero(await meta());
    else if (head.flag === "K") next.linkpath = untilZero(await meta());
    else if (head.flag === "V") await meta();
    else {
      const entry = entryOf(head, { ...global, ...next });
      next = {};
      entries++;
      await pass(bytes, entry.size, visit(entry));
    }
  }
  if (entries === 0) bad("there is nothing in it");
  while (await bytes.some(1 << 20));
}

async function pass(bytes: Bytes, size: number, sink: Sink | null): Promise<void> {
  for (let left = size; left > 0; ) {
    const piece = await bytes.some(left);
    if (!piece) bad("it is cut off");
    sink?.write(piece!);
    left -= piece!.length;
  }
  sink?.end();
  if (padded(size) > size) await bytes.exactly(padded(size) - size);
}

interface Head {
  path: string;
  flag: string;
  target: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  seconds: number;
}

function parseHead(block: Buffer): Head {
  const sum = number(block, 148, 8);
  let unsigned = 8 * 0x20;
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) unsigned += block[at]!;
  if (sum !== unsigned) bad("the sum of a header is wrong");
  const name = text(block, 0, 100);
  const isUstar = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isUstar ? text(block, 345, 155) : "";
  return {
    path: prefix ? `${prefix}/${name}` : name,
    flag: String.fromCharCode(block[156]!),
    target: text(block, 157, 100),
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size: natural(number(block, 124, 12)),
    seconds: number(block, 136, 12),
  };
}

const TYPES: { [flag: string]: TarEntry["type"] } = {
  "\0": "file",
  "0": "file",
  "7": "file",
  "1": "hard",
  "2": "link",
  "3": "device",
  "4": "device",
  "5": "dir",
  "6": "fifo",
};

function entryOf(head: Head, pax: Pax): TarEntry {
  if (head.flag === "S") bad("it has a sparse file: make it without --sparse");
  let type = TYPES[head.flag] ?? bad(`it has an entry of a kind that is not known (${JSON.stringify(head.flag)})`);
  const path = pax.path ?? head.path;
  const target = pax.linkpath ?? head.target;
  if (type === "file" && path.endsWith("/")) type = "dir";
  if (path === "" || path.includes("\0") || target.includes("\0")) bad("an entry has no name that a file can have");
  if ((type === "hard" || type === "link") && target === "") bad("a link names nothing");
  return {
    ...{ path, type, target, mode: head.mode },
    uid: ownerId(pax.uid ?? head.uid),
    gid: ownerId(pax.gid ?? head.gid),
    size: type === "file" ? (pax.size ?? head.size) : 0,
    ns: pax.ns ?? BigInt(head.seconds) * 1_000_000_000n,
  };
}

interface Pax {
  path?: string;
  linkpath?: string;
  size?: number;
  uid?: number;
  gid?: number;
  ns?: bigint;
}

/** Records as `LENGTH KEY=VALUE\n`. */
function parsePax(bytes: Buffer): Pax {
  const found: Pax = {};
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const word = bytes.toString("latin1", at, space);
    const end = at + Number(word);
    if (space < 0 || !/^[1-9]\d{0,7}$/.test(word) || end > bytes.length || bytes[end - 1] !== 0x0a)
      bad("the attributes of an entry are malformed");
    const record = bytes.toString("latin1", space + 1, end - 1);
    const equals = record.indexOf("=");
    const [key, value] = [record.slice(0, equals), record.slice(equals + 1)];
    if (key.startsWith("GNU.sparse.")) bad("it has a sparse file: make it without --sparse");
    if (key === "path" || key === "linkpath") found[key] = value;
    else if (key === "size" || key === "uid" || key === "gid") found[key] = natural(decimal(value));
    else if (key === "mtime") found.ns = nanoseconds(value);
    at = end;
  }
  return found;
}

const decimal = (value: string): number => (/^\d{1,15}$/.test(value) ? Number(value) : bad("a number in it is none"));

function nanoseconds(value: string): bigint {
  const [, sign, whole, part = ""] = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value) ?? [];
  if (whole === undefined) bad("a time in it is none");
  const ns = BigInt(whole!) * 1_000_000_000n + BigInt(part.slice(0, 9).padEnd(9, "0"));
  return sign ? -ns : ns;
}

/** Octal digits, or the bytes of a number if the first one says so. */
function number(block: Buffer, at: number, length: number): number {
  const first = block[at]!;
  if (first === 0x80 || first === 0xff) {
    let value = first === 0xff ? -1n : 0n;
    for (let i = at + 1; i < at + length; i++) value = value * 256n + BigInt(block[i]!);
    const plain = Number(value);
    return Number.isSafeInteger(plain) ? plain : bad("a number in it is too large");
  }
  const digits = text(block, at, length).trim();
  if (digits === "") return 0;
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : bad("a number in it is none");
}

/** The greatest number says that nothing is to be changed, to a system that is asked for it. */
const ownerId = (value: number): number => (natural(value) < 0xffffffff ? value : bad("a number in it is too large"));
const natural = (value: number): number => (value >= 0 ? value : bad("a number in it is below 0"));
const padded = (size: number): number => Math.ceil(size / BLOCK) * BLOCK;
const isZero = (block: Buffer): boolean => block.every((byte) => byte === 0);
const untilZero = (bytes: Buffer): string => text(bytes, 0, bytes.length);

function text(bytes: Buffer, at: number, length: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString("latin1", at, end < 0 || end > at + length ? at + length : end);
}

function bad(why: string): never {
  throw new TarError(`This is no tar archive that can be read: ${why}.`);
}
