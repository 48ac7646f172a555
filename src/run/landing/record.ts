/**
 * A landing as objects: its changes, and the records of its journal. Paths are byte strings, contents are named by links, so that whatever
 * follows links finds all that an unended landing needs. Long lists come in pieces, since an object has a size that it may not exceed.
 */
import { decodeJson, encodeJson, isHash, parseLink, target } from "../../trace/bytes.ts";
import type { Hash, Json, Link, Objects } from "../../trace/ports.ts";
import { missing } from "../../world/missing.ts";
import { type Change, linkOf, type Side } from "./plan.ts";
import type { Outcome, Why, Work } from "./work.ts";

/** A piece of a list stays well below the size that an object may have. */
const PIECE_BYTES = 512 << 10;

/** Stores the changes of a landing; written when it resolves. */
export async function storePlan(objects: Objects, changes: readonly Change[]): Promise<Link> {
  const pieces: Link[] = [];
  for (const piece of inPieces(changes.map(changeJson))) pieces.push(await put(objects, { v: 1, changes: piece }));
  return put(objects, { v: 1, pieces });
}

/** The changes that `storePlan` stored. Throws `Missing` where an object lacks, and a sentence on a newer version. */
export async function loadPlan(objects: Objects, plan: Link): Promise<Change[]> {
  const changes: Change[] = [];
  for (const piece of (await read(objects, plan)).pieces as Link[])
    for (const change of (await read(objects, piece)).changes as Json[][]) changes.push(changeOf(change));
  return changes;
}

const put = async (objects: Objects, value: Json): Promise<Link> => `json:${await objects.put(encodeJson(value))}`;

async function read(objects: Objects, link: Link): Promise<{ [key: string]: Json }> {
  const bytes = (await objects.get(target(link))) ?? missing(target(link), "record of a landing");
  const value = decodeJson(bytes) as { [key: string]: Json };
  if (value.v !== 1)
    throw new Error(
      `The record of a landing has version ${value.v}, and this Shepherd knows version 1: update Shepherd.`,
    );
  return value;
}

/** All is staged; from here on paths are touched. */
export const readyRecord = ({ outcomes }: Pick<Work, "outcomes">): Json => ({
  v: 1,
  at: "ready",
  held: outcomes.flatMap((outcome, index) => (outcome?.at === "held" ? [index] : [])),
});

/** What every change has come to (those that are not named landed); after the last of these only clearing up is left. */
export function settledRecords({ outcomes }: Pick<Work, "outcomes">): Json[] {
  const pieces = inPieces(
    outcomes.flatMap((outcome, index) => (outcome && outcome.at !== "landed" ? [outcomeJson(outcome, index)] : [])),
  );
  if (pieces.length === 0) pieces.push([]);
  return pieces.map((piece, number) => ({ v: 1, at: "settled", number, of: pieces.length, outcomes: piece }));
}

export interface Journal {
  /** The changes that were held, once all was staged. */
  ready: number[] | null;
  /** What every change came to, once all was settled. */
  settled: Outcome[] | null;
}

export async function readJournal(objects: Objects, records: readonly Link[], changes: number): Promise<Journal> {
  const journal: Journal = { ready: null, settled: null };
  let settling: Outcome[] = [];
  for (const link of records) {
    const record = await read(objects, link);
    if (record.at === "ready") journal.ready = record.held as number[];
    if (record.at !== "settled") continue;
    if (record.number === 0) settling = new Array<Outcome>(changes).fill({ at: "landed" });
    for (const each of record.outcomes as { [key: string]: Json }[]) settling[each.index as number] = outcomeOf(each);
    if (record.number === (record.of as number) - 1) journal.settled = settling;
  }
  return journal;
}

function inPieces(list: readonly Json[]): Json[][] {
  const pieces: Json[][] = [];
  let room = 0;
  for (const each of list) {
    const size = Buffer.byteLength(JSON.stringify(each)) + 1;
    if (size > room) {
      pieces.push([]);
      room = PIECE_BYTES;
    }
    room -= size;
    pieces.at(-1)!.push(each);
  }
  return pieces;
}

const text = (bytes: Buffer): string => bytes.toString("latin1");
const bytesOf = (value: Json | undefined): Buffer => Buffer.from(value as string, "latin1");

const sideJson = (side: Side | null): Json => side && [side.type, side.mode, linkOf(side)];

function sideOf(value: Json | undefined): Side | null {
  if (!value) return null;
  const [type, mode, link] = value as [Side["type"], number, string | null];
  const id: Hash | null = link === null ? null : (parseLink(link)?.id ?? "");
  if (id !== null && !isHash(id)) throw new Error("The record of a landing is damaged: it names no content.");
  return { type, mode, id };
}

const changeJson = ({ path, expected, next, asks }: Change): Json => [
  text(path),
  sideJson(expected),
  sideJson(next),
  asks,
];

const changeOf = ([path, expected, next, asks]: Json[]): Change => ({
  path: bytesOf(path),
  expected: sideOf(expected),
  next: sideOf(next),
  asks: asks as string | null,
});

function outcomeJson(outcome: Outcome, index: number): Json {
  if (outcome.at !== "conflict") return { index, at: outcome.at };
  const { at, why, text: words, theirs, kept, stays } = outcome;
  return { index, at, why, text: words.toWellFormed(), theirs: sideJson(theirs), kept, stays: stays.map(text) };
}

function outcomeOf(value: { [key: string]: Json }): Outcome {
  if (value.at !== "conflict") return { at: value.at as "held" | "left" };
  return {
    at: "conflict",
    why: value.why as Why,
    text: value.text as string,
    theirs: sideOf(value.theirs),
    kept: value.kept as Link[],
    stays: (value.stays as Json[]).map(bytesOf),
  };
}
