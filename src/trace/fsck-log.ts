/** Checks one log: its records, the chain of its frames, and the laws that its frames must keep. */
import { canonical, isHash, sha256 } from "./bytes.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { type Finding, type Fix, headingFinding, ONE_BIT } from "./finding.ts";
import { unflip } from "./flip.ts";
import type { Frame } from "./frame.ts";
import { LOG_HEADING, type LogPiece, logPath, logPieces, namesIn, pieceOf } from "./logfile.ts";
import type { Hash, Json, Link, Origin } from "./ports.ts";
import { idKey } from "./reach.ts";
import { MAX_RECORD, RECORD_HEAD } from "./record.ts";
import { type Fold, startFold } from "./seal.ts";

export interface LogCheck {
  disk: Disk;
  directory: string;
  /** Goes through what a frame names; what is missing is found later. */
  follow(links: readonly Link[], log: string, seq: number | undefined): Promise<void>;
  /** Takes in a commit or a node of a conversation that follows from the frames, by `idKey`. */
  made(key: string): void;
  /** Takes in a commit that a frame names. */
  names(commit: Hash, log: string, seq: number): void;
  /** What the forks of this log say about it. */
  forks: readonly { log: string; origin: Origin }[];
  rest(): Promise<void> | undefined;
}

/** Findings of one sort in one log beyond this number are told as a number. */
const MOST = 20;

/** What stands behind the last frame that counts so far: what it means is known only at the next one that counts, or at the end. */
interface Tail {
  damage: (LogPiece & { what: "damage" | "stranger" })[];
  /** Frames lost, and where; intact ones behind them. */
  lost: Finding[];
  behind: number;
  strays: Frame[];
  strayHashes: Set<Hash>;
  /** What the next frame would be, were the lost ones there. */
  seq: number;
  prev: Hash | null;
}

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
  if (!start.toString("latin1").startsWith(LOG_HEADING)) yield { ...headingFinding(path, "log", start, "error"), log };
  let fold: Fold | null = null;
  let header = false;
  let seq = 0;
  let prev: Hash | null = null;
  let epoch = 0;
  let broken = 0;
  let tail = newTail(0, null);

  for (const found of logPieces(file)) {
    await check.rest();
    const { piece, fix } = mended(file, path, found);
    const at = { log, file: path, offset: piece.offset, ...(fix && { fix }) };
    if (piece.offset === LOG_HEADING.length && (piece.what !== "header" || fix)) yield headerFinding(at, piece);
    if (piece.what === "header") {
      if (piece.header.id !== log) yield misnamed(at, piece.header.id);
      header = true;
      prev = piece.hash;
      tail = newTail(0, prev);
      fold = startFold(piece.header, (bytes) => check.made(idKey(sha256(bytes))));
      await check.follow(namesIn(piece.header as unknown as Json).links, log, undefined);
      continue;
    }
    if (piece.what !== "frame") {
      if (piece.what === "stranger" && piece.why.startsWith("has version"))
        yield { severity: "error", what: "format", ...at, seq, text: `The frame ${seq} of log ${log} ${piece.why}.` };
      tail.damage.push(piece);
      continue;
    }
    const { frame, hash } = piece;
    const counts = header && frame.seq === seq && frame.prev === prev && frame.epoch >= epoch;
    if (fix) yield flipped(at, frame.seq, counts);
    if (!counts) {
      if (!fix) await behind(check, log, path, tail, frame, hash);
      continue;
    }
    yield* explained(log, path, tail);
    seq++;
    prev = hash;
    epoch = frame.epoch;
    tail = newTail(seq, prev);
    await check.follow(namesIn(frame as unknown as Json).links, log, frame.seq);
    if (frame.phase === "outcome")
      for (const parent of [frame.facts.base, frame.facts.with]) if (isHash(parent)) check.names(parent, log, frame.seq);
    try {
      fold?.push(frame, hash);
    } catch (error) {
      yield lawFinding(at, frame.seq, (error as Error).message);
      if (++broken >= MOST) fold = null;
    }
  }
  yield* atEnd(log, path, tail, header);
  if (fold) yield* checkForks(check, log, fold);
  else for (const fork of check.forks) yield unchecked(fork.log, log);
}

/** A piece as it was before one bit of it flipped, if that explains it. */
function mended(file: DiskFile, path: string, found: LogPiece): { piece: LogPiece; fix: Fix | null } {
  const { offset, end } = found;
  if (found.what !== "damage" || found.shape !== "broken" || end - offset > MAX_RECORD + RECORD_HEAD) return { piece: found, fix: null };
  const flip = unflip(file.read(offset, end - offset));
  if (!flip) return { piece: found, fix: null };
  const payload = flip.record.subarray(RECORD_HEAD);
  return { piece: pieceOf({ offset, end, payload }), fix: { file: path, offset: offset + flip.at, byte: flip.byte } };
}

interface Where {
  log: string;
  file: string;
  offset: number;
  fix?: Fix;
}

const headerFinding = (at: Where, piece: LogPiece): Finding => ({
  severity: "error",
  what: "header",
  ...at,
  text: `The header of log ${at.log} ${piece.what === "stranger" ? piece.why : "is damaged"}, so no step of it can be read.`,
  repair: at.fix ? ONE_BIT : "Put back a copy of the file; what other logs hold is not touched.",
});

const misnamed = (at: Where, id: string): Finding => ({
  severity: "error",
  what: "header",
  ...at,
  text: `The log ${at.log} says that it is log ${id}.`,
  repair: `Rename ${at.file} to ${id}.log.`,
});

const flipped = (at: Where, seq: number, counts: boolean): Finding => ({
  severity: counts ? "error" : "warning",
  what: "frame",
  ...at,
  seq,
  text: counts
    ? `The frame ${seq} of log ${at.log} is damaged, so it and all behind it do not count.`
    : `A second frame ${seq} in log ${at.log}, which does not count, is damaged.`,
  repair: ONE_BIT,
});

const lawFinding = (at: Where, seq: number, why: string): Finding => ({
  severity: "error",
  what: "law",
  ...at,
  seq,
  text: `The frame ${seq} of log ${at.log} breaks a law: ${why}`,
  repair: "Fork from the step before it to go on.",
});

const newTail = (seq: number, prev: Hash | null): Tail => ({
  damage: [],
  lost: [],
  behind: 0,
  strays: [],
  strayHashes: new Set(),
  seq,
  prev,
});

/** A frame that does not count: left by a fenced writer, or behind one that was lost. */
async function behind(check: LogCheck, log: string, path: string, tail: Tail, frame: Frame, hash: Hash): Promise<void> {
  const next = frame.seq === tail.seq && (tail.prev === null || frame.prev === tail.prev);
  const follows = next && (tail.lost.length > 0 || tail.prev === null);
  const stray = tail.strayHashes.has(frame.prev) || frame.seq <= tail.seq;
  if (!follows && stray) {
    if (tail.strayHashes.size < 100_000) tail.strayHashes.add(hash);
    if (tail.strays.length < MOST) tail.strays.push(frame);
    return;
  }
  if (!follows) {
    for (let lost = tail.seq; lost < frame.seq && tail.lost.length < MOST; lost++) tail.lost.push(lostFrame(log, path, lost, tail.damage.shift()));
    // More frames than damaged places: they stood in the last one.
    tail.damage = [];
  }
  tail.seq = frame.seq + 1;
  tail.prev = hash;
  tail.behind++;
  await check.follow(namesIn(frame as unknown as Json).links, log, frame.seq);
}

const lostFrame = (log: string, file: string, seq: number, where: LogPiece | undefined): Finding => ({
  severity: "error",
  what: "frame",
  log,
  seq,
  file,
  ...(where && { offset: where.offset }),
  text: `The frame ${seq} of log ${log} is ${where ? `damaged (bytes ${where.offset} to ${where.end})` : "missing"}.`,
});

/** A frame counts again: what stood before it did not. */
function* explained(log: string, file: string, tail: Tail): Generator<Finding> {
  for (const { offset, end, ...piece } of tail.damage) {
    const torn = piece.what === "damage" && piece.shape === "torn";
    const text = torn
      ? `The log ${log} has an unfinished record at byte ${offset}: a process was killed while it wrote it, and it never counted.`
      : `Bytes ${offset} to ${end} of log ${log} are damaged; no frame that counts was there.`;
    yield { severity: torn ? "note" : "warning", what: torn ? "torn" : "frame", log, file, offset, text };
  }
  yield* strays(log, file, tail);
}

function* strays(log: string, file: string, tail: Tail): Generator<Finding> {
  for (const { seq, epoch } of tail.strays)
    yield {
      severity: "note",
      what: "stray",
      log,
      seq,
      file,
      text: `A second frame ${seq} (epoch ${epoch}) in log ${log} does not count: it was left by a writer that another had replaced.`,
    };
  const more = tail.strayHashes.size - tail.strays.length;
  if (more > 0) yield { severity: "note", what: "stray", log, file, text: `${more} more frames in log ${log} do not count.` };
}

function* atEnd(log: string, file: string, tail: Tail, readable: boolean): Generator<Finding> {
  for (const { offset, ...piece } of tail.damage) {
    const torn = piece.what === "damage" && piece.shape === "torn";
    if (torn)
      yield { severity: "note", what: "torn", log, file, offset, text: `The log ${log} ends with an unfinished record at byte ${offset}: a process was killed, or is just writing; it never counted.` };
    else tail.lost.push(lostFrame(log, file, tail.seq++, { offset, ...piece } as LogPiece));
  }
  yield* strays(log, file, tail);
  if (!readable || tail.lost.length === 0) {
    yield* tail.lost;
    return;
  }
  const [first, ...rest] = tail.lost;
  const text = tail.behind > 0 ? `${first!.text.slice(0, -1)}, so the ${tail.behind} behind it do not count any more.` : first!.text;
  yield { ...first!, text, repair: `Put back a copy of ${file}; or go on without it: all before frame ${first!.seq} is whole.` };
  yield* rest;
}

function* checkForks(check: LogCheck, log: string, fold: Fold): Generator<Finding> {
  for (const { log: child, origin } of check.forks) {
    const sealed = fold.steps.get(origin.n)?.sealed;
    const wrong = (text: string): Finding => ({ severity: "error", what: "origin", log: child, id: origin.commit, text });
    const from = `The log ${child} was forked from step ${origin.n} of log ${log}`;
    if (!sealed) yield wrong(`${from}, which has no commit there.`);
    else if (sealed.id !== origin.commit) yield wrong(`${from} and says that its commit is ${origin.commit}, which is ${sealed.id}.`);
    else if (canonical(sealed.state) !== canonical(origin.state)) yield wrong(`${from} and does not start from its state.`);
    else if (sealed.seq !== origin.seq) yield wrong(`${from} and says that frame ${origin.seq} sealed it, which was frame ${sealed.seq}.`);
    else if (origin.top < sealed.top) yield wrong(`${from} and numbers its steps from ${origin.top + 1} on, which are taken up to ${sealed.top}.`);
    else if (canonical(sealed.carry) !== canonical(origin.carry))
      yield { ...wrong(`${from} and does not carry what its frame carries.`), severity: "warning" };
  }
}

const unchecked = (child: string, log: string): Finding => ({
  severity: "warning",
  what: "origin",
  log: child,
  text: `Where log ${child} was forked from cannot be checked: log ${log} cannot be read.`,
});
