/**
 * Reads an exported run without trusting it, and writes nothing: every object has the kinds that it is named as, and is needed; every frame follows
 * on the one before it and keeps the laws; every commit that is named is computed here, or is an edge; every fork starts where its parent was. What
 * passes is a store of its own that has nothing wrong.
 */
import { decodeJson, encodeJson, linksIn, parseLink, sha256 } from "../bytes.ts";
import { encodeFrame, headerHash, isLogId, parseFrame, parseHeader } from "../chain.ts";
import { parseCommit } from "../edge.ts";
import type { Frame } from "../frame.ts";
import { originTrouble } from "../origin.ts";
import type { Hash, Json, Link, LinkKind, LogHeader } from "../ports.ts";
import { breather, type Followers, idKey } from "../reach.ts";
import { type Fold, type Sealed, type Step, startFold } from "../seal.ts";
import { needsOf, nodesIn } from "./closure.ts";
import { damaged, type Item, type ReadOptions, readBundle, type Source } from "./format.ts";
import { ALL_KINDS, bitOf, kindsIn } from "./kinds.ts";
import type { NamedLog } from "./write.ts";

export interface Verified {
  digest: Hash;
  scopes: NamedLog[];
  logs: Array<{ header: LogHeader; frames: number }>;
  objects: number;
  forgotten: number;
}

export interface VerifyOptions extends ReadOptions {
  followers: Followers;
  /** Are told of each log and each frame in order, before the next is read; what they throw ends the reading. */
  onLog?: (log: LogHeader) => Promise<void>;
  onFrame?: (log: LogHeader, frame: Frame, hash: Hash) => Promise<void>;
  signal?: AbortSignal | undefined;
}

/** More than this of one thing is not held in memory for a file that nobody trusts yet. */
const MOST_LOGS = 100_000;
const MOST_BYTES = 1 << 30;
/** No id of an object can be packed into fewer bytes, and each that is named stands in the file. */
const ID_BYTES = 24;

/** Throws `BadBundle` with a sentence at the first thing that is wrong, or `NewerFormat`. */
export async function verifyBundle(source: Source, options: VerifyOptions): Promise<Verified> {
  const { followers } = options;
  const rest = breather(options.signal);
  const names = namesBy(Math.ceil(source.size() / ID_BYTES) + 64);
  const scopes: NamedLog[] = [];
  const logs: Verified["logs"] = [];
  const edges = new Set<Hash>();
  const forgotten = new Set<string>();
  let head: { scopes: number; logs: number } | null = null;
  let objects = 0;
  let frames = 0;
  let held = 0;
  const known = new Map<string, FrameReader>();
  const made = new Set<string>();
  const readers: FrameReader[] = [];
  let ended = false;

  const take = async ({ kind, bytes }: Item): Promise<void> => {
    if (kind !== "head" && !head) throw damaged("it does not begin as one");
    switch (kind) {
      case "head":
        if (head) throw damaged("it begins twice");
        head = headIn(bytes);
        return;
      case "scope":
        scopes.push(scopeIn(bytes));
        if (scopes.length > head!.scopes) throw damaged("it has more scopes than it says");
        return;
      case "edge":
        if (!parseCommit(bytes)) throw damaged("a commit in it is none");
        edges.add(sha256(bytes));
        for (const link of linksIn(decodeJson(bytes))) names.name(link);
        return;
      case "object":
        takeObject(bytes);
        objects++;
        return;
      case "forgotten":
        if (bytes.length !== 32) throw damaged("an id in it is none");
        names.declare(bytes.toString("latin1"), ALL_KINDS);
        forgotten.add(bytes.toString("latin1"));
        return;
      case "log": {
        held += bytes.length;
        if (held > MOST_BYTES) throw damaged("its logs are larger than any");
        const log = logIn(bytes);
        const { id, origin } = log.header;
        if (known.has(id)) throw damaged("a log is there twice");
        logs.push(log);
        if (logs.length > head!.logs) throw damaged("it has more logs than it says");
        for (const link of linksIn(log.header)) names.name(link);
        checkNodes(nodesIn(log.header));
        const parent = origin && known.get(origin.log);
        // So there are no circles either.
        if (origin && !parent) throw damaged("a log stands before the one that it was forked from");
        const wrong = origin && originTrouble(origin, parent!.fold);
        if (wrong) throw damaged(`the log ${id} was forked from step ${origin.n} ${wrong}`);
        const reader = readFrames(log, (content) => made.add(idKey(sha256(content))));
        readers.push(reader);
        known.set(id, reader);
        await options.onLog?.(log.header);
        return;
      }
      case "frame": {
        const reader = bytes.length > 4 ? readers[bytes.readUInt32LE(0)] : undefined;
        if (!reader) throw damaged("a frame in it is of no log");
        const frame = reader.check(bytes.subarray(4));
        held += bytes.length;
        if (held > MOST_BYTES) throw damaged("its logs are larger than any");
        for (const link of linksIn(frame)) names.name(link);
        checkNodes(needsOf(frame));
        const hash = reader.push(frame, bytes.subarray(4));
        frames++;
        await options.onFrame?.(logs[bytes.readUInt32LE(0)]!.header, frame, hash);
        return;
      }
      case "tail":
        if (ended) throw damaged("it ends twice");
        checkTail(bytes, { objects, forgotten: forgotten.size, frames });
        ended = true;
    }
  };
  /** Each must follow from what came before. */
  const checkNodes = (ids: Iterable<Hash>): void => {
    for (const id of ids)
      if (!made.has(idKey(id)) && !edges.has(id)) throw damaged(`nothing before it leads to ${id.slice(0, 12)}`);
  };
  const takeObject = (bytes: Buffer): void => {
    const kinds = bytes[0] ?? 0;
    if (kinds === 0 || kinds > ALL_KINDS) throw damaged("an object in it is of no kind");
    const content = bytes.subarray(1);
    const id = sha256(content);
    names.declare(idKey(id), kinds);
    for (const kind of kindsIn(kinds)) {
      if (kind === "blob" || kind === "items") continue;
      try {
        for (const link of followers[kind](content)) names.name(link);
      } catch (error) {
        throw damaged(`the object ${id.slice(0, 12)} is no ${kind} (${(error as Error).message})`);
      }
    }
  };

  const items = readBundle(source, options);
  for (;;) {
    const next = items.next();
    if (!next.done) {
      await rest();
      await take(next.value);
      continue;
    }
    if (!ended) throw damaged("its end is missing");
    if (logs.length !== head!.logs || scopes.length !== head!.scopes || scopes.length === 0)
      throw damaged("a log or a scope is missing");
    for (const reader of readers) if (reader.left() > 0) throw damaged("some of its frames are missing");
    // Of an edge: all that can be in one of ours.
    checkNodes(names.nodes);
    for (const { log } of scopes) if (!known.has(log)) throw damaged("a scope stands for a log that it does not have");
    if (new Set(scopes.map(({ log }) => log)).size < scopes.length) throw damaged("two scopes stand for one log");
    names.check();
    return { digest: next.value, scopes, logs, objects, forgotten: forgotten.size };
  }
}

/** What is named, as which kind, and what is there. Both must be the same at the end. */
function namesBy(most: number) {
  const there = new Map<string, number>();
  const nodes = new Set<string>();
  const NAMED = 8;
  const set = (key: string, bits: number): void => {
    const before = there.get(key) ?? 0;
    if (before === 0 && there.size >= most) throw damaged("it has more objects than it can name");
    there.set(key, before | bits);
  };
  return {
    name: (link: Link): void => {
      const { kind, id } = parseLink(link)!;
      if (kind === "items") nodes.add(id);
      else set(idKey(id), bitOf(kind) << NAMED);
    },
    declare: (key: string, kinds: number): void => {
      if (((there.get(key) ?? 0) & ALL_KINDS) !== 0) throw damaged("an object is there twice");
      set(key, kinds);
    },
    nodes,
    check: (): void => {
      for (const [key, bits] of there) {
        const id = (): string => Buffer.from(key, "latin1").toString("hex").slice(0, 12);
        const is = bits & ALL_KINDS;
        const named = bits >> NAMED;
        if (is === 0) throw damaged(`the object ${id()} is missing`);
        if (named === 0) throw damaged(`the object ${id()} is named by nothing`);
        if (is !== ALL_KINDS && is !== named)
          throw damaged(`the object ${id()} is not of the kind that it is named as`);
      }
    },
  };
}

interface FrameReader {
  readonly fold: Fold;
  /** The frame in some bytes, if it is the next of the log. */
  check(bytes: Buffer): Frame;
  /** Takes it in; gives its hash. */
  push(frame: Frame, bytes: Buffer): Hash;
  /** How many are still to come. */
  left(): number;
}

function readFrames({ header, frames }: Verified["logs"][number], made: (bytes: Buffer) => void): FrameReader {
  const fold = startFold(header, made);
  let prev = headerHash(header);
  let seq = 0;
  let epoch = 0;
  return {
    fold,
    left: () => frames - seq,
    check: (bytes) => {
      if (seq === frames) throw damaged("it has more frames than it says");
      const frame = parseFrame(bytes, "the file");
      if (!frame || !canonicalIs(frame, bytes)) throw damaged(`frame ${seq} of log ${header.id} is none`);
      if (!isTime(frame.witness?.at)) throw damaged(`frame ${seq} of log ${header.id} was written at no time`);
      if (frame.seq !== seq || frame.prev !== prev || frame.epoch < epoch)
        throw damaged(`frame ${seq} of log ${header.id} does not follow on the one before it`);
      return frame;
    },
    push: (frame, bytes) => {
      prev = sha256(bytes);
      ({ epoch } = frame);
      seq++;
      let sealed: Step[];
      try {
        sealed = fold.push(frame, prev);
      } catch (error) {
        throw damaged((error as Error).message.replace(/\.$/, ""));
      }
      for (const step of sealed)
        if (!restorable(step.sealed!)) throw damaged(`step ${step.n} of log ${header.id} has a state that is none`);
      return prev;
    },
  };
}

/** The times that there are, in ms since 1970; what is missing is none. */
const isTime = (at: Json | undefined): boolean =>
  at === undefined || (typeof at === "number" && at >= 0 && at <= 8_640_000_000_000_000);

const MTIMES = new Set(["mtimes", "vcsMtimes", "rootMtimes", "rootVcsMtimes"]);

/** Whether what a step restores is named as what it must be: a tree, a conversation, times. */
function restorable({ state, carry }: Sealed): boolean {
  const isA = (link: string, kind: LinkKind): boolean => parseLink(link)?.kind === kind;
  const { workspace } = state.roots;
  // A step before which no files were captured.
  if (!isA(workspace, "tree") && (workspace as string) !== "tree:") return false;
  for (const { items } of Object.values(state.threads)) if (items !== null && !isA(items, "items")) return false;
  return Object.entries(carry).every(
    ([name, link]) => name === "native" || isA(link, MTIMES.has(name) ? "mtimes" : "tree"),
  );
}

function canonicalIs(frame: Frame, bytes: Buffer): boolean {
  try {
    return encodeFrame(frame).equals(bytes);
  } catch {
    return false;
  }
}

/** The members of an object of ours. A newer version of it would not be in a file of this version. */
function membersOf(bytes: Buffer): { [key: string]: Json } {
  let value: Json = null;
  try {
    value = decodeJson(bytes);
  } catch {
    // as below
  }
  if (!value || typeof value !== "object" || Array.isArray(value) || value.v !== 1)
    throw damaged("a part of it is malformed");
  return value;
}

const isCount = (value: Json | undefined): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function headIn(bytes: Buffer): { scopes: number; logs: number } {
  const { type, scopes, logs } = membersOf(bytes);
  if (type !== "run" || !isCount(scopes) || !isCount(logs) || Math.max(scopes, logs) > MOST_LOGS)
    throw damaged("it does not begin as one");
  return { scopes, logs };
}

function scopeIn(bytes: Buffer): NamedLog {
  const { name, log } = membersOf(bytes);
  if (typeof name !== "string" || typeof log !== "string") throw damaged("a scope in it is malformed");
  return { name, log };
}

function logIn(bytes: Buffer): { header: LogHeader; frames: number } {
  const { frames, header } = membersOf(bytes);
  const id = header && typeof header === "object" && !Array.isArray(header) ? header.id : null;
  if (!isCount(frames) || typeof id !== "string" || !isLogId(id)) throw damaged("a log in it is malformed");
  const parsed = parseHeader(encodeJson(header), id);
  if (!parsed || !isTime(parsed.meta.created)) throw damaged("a log in it is malformed");
  return { header: parsed, frames };
}

function checkTail(bytes: Buffer, seen: { objects: number; forgotten: number; frames: number }): void {
  const tail = membersOf(bytes);
  for (const [what, count] of Object.entries(seen))
    if (tail[what] !== count) throw damaged(`some of its ${what} are missing`);
}
