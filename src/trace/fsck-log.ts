/** Checks one log: its records, the chain of its frames, and the laws that its frames must keep. */
import { isHash, sha256 } from "./bytes.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { because, error, type Finding, type Fix, headingFinding, note, ONE_BIT, warning } from "./finding.ts";
import { unflip } from "./flip.ts";
import type { Frame } from "./frame.ts";
import { LOG_HEADING, type LogPiece, logPath, logPieces, namesIn, pieceOf } from "./logfile.ts";
import { originTrouble } from "./origin.ts";
import type { Hash, Json, Link, Origin } from "./ports.ts";
import { idKey } from "./reach.ts";
import { MAX_RECORD, RECORD_HEAD } from "./record.ts";
import { type Fold, startFold } from "./seal.ts";

export interface LogCheck {
  disk: Disk;
  directory: string;
  /** Goes through what a frame (or the header) names; what is missing is found later. */
  follow(links: readonly Link[], log: string, seq: number | undefined): Promise<void>;
  /** Takes in a commit or a node of a conversation that follows from the frames, by `idKey`. */
  made(key: string): void;
  /** Takes in a commit that a frame names as a parent. */
  names(commit: Hash, log: string, seq: number): void;
  /** What the forks of this log say about it. */
  forks: readonly { log: string; origin: Origin }[];
  /** From this frame on, nothing was known to be synced when the power failed last; Infinity if nothing can have been lost by that. */
  unsynced: number;
  rest(): Promise<void> | undefined;
}

/** Findings of one sort in one log beyond this number are told as a number. */
const MOST = 20;

/** What stands behind the last frame that counts so far: what it means is known only at the next one that counts, or at the end. */
interface Tail {
  damage: LogPiece[];
  /** Frames lost; hashes of intact ones behind them, and the number that the next of these has. */
  lost: Finding[];
  behind: Set<Hash>;
  next: number;
  /** Frames that do not count for another reason: the first of them, and how many. */
  strays: Frame[];
  more: number;
}

const newTail = (next: number): Tail => ({ damage: [], lost: [], behind: new Set(), next, strays: [], more: 0 });

export async function* checkLog(check: LogCheck, log: string): AsyncGenerator<Finding> {
  const file = check.disk.open(logPath(check.directory, log));
  if (!file) return;
  try {
    yield* checkFile(check, log, file);
  } finally {
    file.close();
  }
}

async function* checkFile(check: LogCheck, log: string, file: DiskFile): AsyncGenerator<Finding> {
  const path = `logs/${log}.log`;
  const start = file.read(0, 64);
  if (!start.toString("latin1").startsWith(LOG_HEADING)) yield headingFinding(path, "log", start, { log });
  let fold: Fold | null = null;
  let header = false;
  // What the next frame that counts must be, as every reader decides it.
  let next = 0;
  let prev: Hash = "";
  let epoch = 0;
  let broken = 0;
  // Frames that a fenced writer can have seen, or left before.
  const known = new Set<Hash>();
  let tail = newTail(0);

  for (const found of logPieces(file)) {
    await check.rest();
    const { piece, fix } = mended(file, path, found);
    const at = { log, file: path, offset: piece.offset, ...(fix && { fix }) };
    if (piece.offset === LOG_HEADING.length && (piece.what !== "header" || fix)) yield headerFinding(at, piece);
    if (piece.what === "header") {
      const { id } = piece.header;
      if (id !== log)
        yield error("header", at, `The log ${log} says that it is log ${id}.`, `Rename ${path} to ${id}.log.`);
      header = true;
      prev = piece.hash;
      remember(known, prev);
      fold = startFold(piece.header, (bytes) => check.made(idKey(sha256(bytes))));
      await check.follow(namesIn(piece.header as unknown as Json).links, log, undefined);
      continue;
    }
    if (piece.what !== "frame") {
      if (piece.what === "stranger" && piece.why.startsWith("has version"))
        yield error("format", { ...at, seq: next }, `The frame ${next} of log ${log} ${piece.why}.`);
      if (piece.offset !== LOG_HEADING.length) tail.damage.push(piece);
      continue;
    }
    const { frame, hash } = piece;
    const { seq } = frame;
    const counts = header && seq === next && frame.prev === prev && frame.epoch >= epoch;
    if (fix) yield flipped(at, seq, counts);
    if (!counts) {
      const follows = tail.behind.has(frame.prev) || (!header && seq === tail.next);
      const stray = !follows && (known.has(frame.prev) || frame.epoch < epoch);
      if (stray) {
        remember(known, hash);
        if (tail.strays.length < MOST) tail.strays.push(frame);
        else tail.more++;
      } else if (!fix) {
        if (!follows) lose(tail, log, path, seq);
        tail.behind.add(hash);
        tail.next = seq + 1;
        await check.follow(namesIn(frame as unknown as Json).links, log, seq);
      }
      continue;
    }
    yield* explained(log, path, tail);
    next = seq + 1;
    prev = hash;
    epoch = frame.epoch;
    remember(known, hash);
    tail = newTail(next);
    await check.follow(namesIn(frame as unknown as Json).links, log, seq);
    if (frame.phase === "outcome")
      for (const parent of [frame.facts.base, frame.facts.with]) if (isHash(parent)) check.names(parent, log, seq);
    try {
      fold?.push(frame, hash);
    } catch (wrong) {
      const text = `The frame ${seq} of log ${log} breaks a law: ${because(wrong)}`;
      yield error("law", { ...at, seq }, text, "Fork from the step before it to go on.");
      if (++broken >= MOST) fold = null;
    }
  }
  yield* atEnd(log, path, tail, check.unsynced);
  if (fold) yield* checkForks(check, log, fold);
  else
    for (const fork of check.forks)
      yield warning(
        "origin",
        { log: fork.log },
        `Where log ${fork.log} was forked from cannot be checked: log ${log} cannot be read.`,
      );
}

const HOLE = Buffer.alloc(64);

/** A piece as it was before one bit of it flipped, if that explains it. */
function mended(file: DiskFile, path: string, found: LogPiece): { piece: LogPiece; fix: Fix | null } {
  const { offset, end } = found;
  if (found.what !== "damage" || found.shape !== "broken" || end - offset > MAX_RECORD + RECORD_HEAD)
    return { piece: found, fix: null };
  const bytes = file.read(offset, end - offset);
  // No frame has zeros in it, and no flipped bit makes so many: what was there had not come to the disk when the power failed.
  if (bytes.includes(HOLE)) return { piece: { ...found, shape: "torn" }, fix: null };
  const flip = unflip(bytes);
  if (!flip) return { piece: found, fix: null };
  const payload = flip.record.subarray(RECORD_HEAD);
  const fix = { file: path, offset: offset + flip.at, byte: flip.byte };
  return { piece: pieceOf({ offset, end, payload }), fix };
}

interface Where {
  log: string;
  file: string;
  offset: number;
  fix?: Fix;
}

const headerFinding = (at: Where, piece: LogPiece): Finding => {
  const how = piece.what === "stranger" ? piece.why : "is damaged";
  const text = `The header of log ${at.log} ${how}, so no step of it can be read.`;
  return error("header", at, text, at.fix ? ONE_BIT : "Put back a copy of the file; all other logs can be read.");
};

const flipped = (at: Where, seq: number, counts: boolean): Finding =>
  counts
    ? error(
        "frame",
        { ...at, seq },
        `The frame ${seq} of log ${at.log} is damaged, so it and all behind it do not count.`,
        ONE_BIT,
      )
    : warning(
        "frame",
        { ...at, seq },
        `A second frame ${seq} in log ${at.log}, which does not count, is damaged.`,
        ONE_BIT,
      );

/** A frame names one before it that is not there: that one, and all between it and the last that is, are lost. */
function lose(tail: Tail, log: string, file: string, seq: number): void {
  if (seq === 0)
    tail.lost.push(error("frame", { log, seq, file }, `The frame 0 of log ${log} follows on another header.`));
  for (let lost = Math.min(tail.next, seq - 1); lost >= 0 && lost < seq && tail.lost.length < MOST; lost++)
    tail.lost.push(lostFrame(log, file, lost, tail.damage.shift()));
  // More frames than damaged places: they stood in the last one.
  tail.damage = [];
}

/** So many frames behind, no writer was fenced. */
const STALE = 100_000;

function remember(known: Set<Hash>, hash: Hash): void {
  known.add(hash);
  if (known.size > STALE) for (const oldest of known) return void known.delete(oldest);
}

const lostFrame = (log: string, file: string, seq: number, where: LogPiece | undefined): Finding => {
  const how = where ? `damaged (bytes ${where.offset} to ${where.end})` : "missing";
  return error(
    "frame",
    { log, seq, file, ...(where && { offset: where.offset }) },
    `The frame ${seq} of log ${log} is ${how}.`,
  );
};

const isTorn = (piece: LogPiece): boolean => piece.what === "damage" && piece.shape === "torn";

/** A frame counts again: what stood before it did not, or was replaced. */
function* explained(log: string, file: string, tail: Tail): Generator<Finding> {
  for (const [i, piece] of tail.damage.entries()) {
    const { offset, end } = piece;
    const at = { log, file, offset };
    if (i >= MOST) {
      yield note("torn", at, `${tail.damage.length - MOST} more places in log ${log} form no frame.`);
      break;
    }
    if (isTorn(piece))
      yield note("torn", at, `The log ${log} has an unfinished record at byte ${offset}, which never counted.`);
    else
      yield warning(
        "frame",
        at,
        `Bytes ${offset} to ${end} of log ${log} are damaged; no frame that counts was there.`,
      );
  }
  yield* strays(log, file, tail);
  yield* losses(tail);
}

function* strays(log: string, file: string, { strays, more }: Tail): Generator<Finding> {
  for (const { seq, epoch } of strays) {
    const text = `A second frame ${seq} (epoch ${epoch}) in log ${log} does not count: a writer left it that another had replaced.`;
    yield note("stray", { log, seq, file }, text);
  }
  if (more > 0) yield note("stray", { log, file }, `${more} more frames in log ${log} do not count.`);
}

function* losses({ lost, behind }: Tail): Generator<Finding> {
  for (const [i, each] of lost.entries()) {
    if (i > 0 || behind.size === 0) yield each;
    else yield { ...each, text: `${each.text.slice(0, -1)}, so the ${behind.size} behind it do not count any more.` };
  }
}

function* atEnd(log: string, file: string, tail: Tail, unsynced: number): Generator<Finding> {
  const torn: number[] = [];
  for (const piece of tail.damage) {
    if (isTorn(piece) || tail.next >= unsynced) torn.push(piece.offset);
    else if (tail.lost.length < MOST) tail.lost.push(lostFrame(log, file, tail.next++, piece));
  }
  for (const [i, offset] of torn.entries()) {
    const text =
      i < MOST
        ? `The log ${log} ends with an unfinished record at byte ${offset}: a process was killed, the power failed, or somebody is just writing.`
        : `The log ${log} ends with ${torn.length - MOST} more unfinished records.`;
    yield note("torn", { log, file, offset }, text);
    if (i >= MOST) break;
  }
  yield* strays(log, file, tail);
  yield* losses(tail);
}

function* checkForks(check: LogCheck, log: string, fold: Fold): Generator<Finding> {
  for (const { log: child, origin } of check.forks) {
    const wrong = originTrouble(origin, fold);
    if (!wrong) continue;
    const text = `The log ${child} was forked from step ${origin.n} of log ${log} ${wrong}.`;
    // What is restored with a step is no part of its commit.
    const told = wrong.endsWith("carries") ? warning : error;
    yield told("origin", { log: child, id: origin.commit }, text);
  }
}
