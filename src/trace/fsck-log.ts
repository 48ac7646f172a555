/** Checks one log: its records, the chain of its frames, and the laws that its frames must keep. */
import { canonical, isHash, sha256 } from "./bytes.ts";
import type { Disk, DiskFile } from "./disk.ts";
import type { Finding } from "./finding.ts";
import type { Frame } from "./frame.ts";
import { LOG_HEADING, type LogPiece, logPath, logPieces, namesIn } from "./logfile.ts";
import type { Hash, Json, Link, LogHeader, Origin } from "./ports.ts";
import { idKey } from "./reach.ts";
import { type Fold, startFold } from "./seal.ts";
import { FORMAT } from "./segment.ts";

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
  yield* checkHeading(file, log, path);
  let fold: Fold | null = null;
  let header: LogHeader | null = null;
  let seq = 0;
  let prev: Hash | null = null;
  let epoch = 0;
  let broken = 0;
  let tail = newTail(0, null);

  for (const piece of logPieces(file)) {
    await check.rest();
    if (piece.what === "header") {
      ({ header, hash: prev } = piece);
      tail = newTail(0, prev);
      if (header.id !== log)
        yield { severity: "error", what: "header", log, file: path, text: `The log ${log} says that it is log ${header.id}.`, repair: `Rename ${path} to ${header.id}.log.` };
      fold = startFold(header, (bytes) => check.made(idKey(sha256(bytes))));
      await check.follow(namesIn(header as unknown as Json).links, log, undefined);
      continue;
    }
    if (piece.offset === LOG_HEADING.length) {
      yield {
        severity: "error",
        what: "header",
        log,
        file: path,
        offset: piece.offset,
        text: `The header of log ${log} ${piece.what === "stranger" ? piece.why : "is damaged"}, so no step of it can be read.`,
        repair: "Put back a copy of the file; what other logs hold is not touched.",
      };
      if (piece.what !== "frame") continue;
    }
    if (piece.what !== "frame") {
      if (piece.what === "stranger" && piece.why.startsWith("has version"))
        yield { severity: "error", what: "format", log, seq, file: path, offset: piece.offset, text: `The frame ${seq} of log ${log} ${piece.why}.` };
      tail.damage.push(piece);
      continue;
    }
    const { frame, hash } = piece;
    if (!header || frame.seq !== seq || frame.prev !== prev || frame.epoch < epoch) {
      await behind(check, log, path, tail, frame, hash);
      continue;
    }
    yield* explained(log, path, tail);
    seq++;
    prev = hash;
    epoch = frame.epoch;
    tail = newTail(seq, prev);
    await check.follow(namesIn(frame as unknown as Json).links, log, frame.seq);
    if (frame.phase === "intent" && isHash(frame.facts.with)) check.names(frame.facts.with, log, frame.seq);
    if (frame.phase === "outcome" && isHash(frame.facts.base)) check.names(frame.facts.base, log, frame.seq);
    try {
      fold?.push(frame, hash);
    } catch (error) {
      yield {
        severity: "error",
        what: "law",
        log,
        seq: frame.seq,
        file: path,
        offset: piece.offset,
        text: `The frame ${frame.seq} of log ${log} breaks a law: ${(error as Error).message}`,
        repair: "Fork from the step before it to go on.",
      };
      if (++broken >= MOST) fold = null;
    }
  }
  yield* atEnd(log, path, tail, seq, header !== null);
  if (fold) yield* checkForks(check, log, fold);
  else for (const fork of check.forks) yield unchecked(fork.log, log);
}

const newTail = (seq: number, prev: Hash | null): Tail => ({
  damage: [],
  lost: [],
  behind: 0,
  strays: [],
  strayHashes: new Set(),
  seq,
  prev,
});

function* checkHeading(file: DiskFile, log: string, path: string): Generator<Finding> {
  const heading = file.read(0, 32).toString("latin1");
  if (heading.startsWith(LOG_HEADING)) return;
  const version = /^shepherd log (\d{1,9})\n/.exec(heading)?.[1];
  const text = version
    ? `The log ${log} has format ${version}, and this Shepherd knows formats up to ${FORMAT}.`
    : `The heading of log ${log} is damaged, so no step of it can be read; its frames are all where they were.`;
  const repair = version
    ? `Update Shepherd; if no newer one ever wrote here, the heading is damaged and should read ${JSON.stringify(LOG_HEADING)}.`
    : `The first ${LOG_HEADING.length} bytes of ${path} should read ${JSON.stringify(LOG_HEADING)}.`;
  yield { severity: "error", what: "heading", log, file: path, offset: 0, text, repair };
}

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

function* atEnd(log: string, file: string, tail: Tail, seq: number, readable: boolean): Generator<Finding> {
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
  yield { ...first!, text, repair: `Put back a copy of ${file}; or go on without it: all before frame ${seq} is whole.` };
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
