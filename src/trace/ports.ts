/**
 * The store is a port of four small interfaces. The embedded implementation (`store.ts`) keeps them in append-only files;
 * another (a database, an object store) implements the same four and passes the same conformance suite.
 *
 * Two words of durability, used everywhere: *written* survives `kill -9` of every process, *synced* survives power loss.
 */
import type { Frame } from "./frame.ts";

/** SHA-256 of some bytes: 64 lower-case hex digits. */
export type Hash = string;

/**
 * How a frame, a commit or an object of ours names another object: its kind, so that whoever follows links (gc, fsck, export)
 * needs no other knowledge. `blob` is bytes that name nothing; `json` is canonical JSON that may hold links; `items` is a node of
 * a conversation; the others are file trees.
 */
export type Link = `${LinkKind}:${Hash}`;
export type LinkKind = "blob" | "json" | "items" | "tree" | "mtimes" | "chunks";

export interface Objects {
  /** Stores bytes (at most `MAX_OBJECT`) under their hash. Written at return; idempotent. */
  put(bytes: Uint8Array): Promise<Hash>;
  /** The bytes, verified against `id`; null if the store does not hold them. Throws `Forgotten` where a tombstone stands. */
  get(id: Hash): Promise<Uint8Array | null>;
  /** For each id, whether a frame written now may name it. */
  has(ids: readonly Hash[]): Promise<boolean[]>;
}

export interface Ref {
  value: string;
  /** Grows by one with each change of this ref. */
  version: number;
}

export interface Refs {
  get(name: string): Promise<Ref | null>;
  /** All refs whose name starts with `prefix`, sorted by name. */
  list(prefix: string): Promise<Array<Ref & { name: string }>>;
  /** Sets `name` to `next` (null deletes) if its version still is `expected` (0: does not exist). Synced when it returns true. */
  cas(name: string, expected: number, next: string | null): Promise<boolean>;
}

export interface Logs {
  /** Creates a log; its header is chained into the first frame. Refuses an id that exists. */
  create(header: LogHeader): Promise<void>;
  header(log: string): Promise<LogHeader | null>;
  /**
   * Appends frames whose first has sequence number `from` under `epoch`. Written at return. False if another writer got there first: read,
   * and append anew. Throws, and writes nothing, if they do not follow on each other and on the end of the log, if one is larger than
   * `MAX_OBJECT` in canonical form, or if one could not be read again.
   */
  append(log: string, from: number, epoch: number, frames: readonly Frame[]): Promise<boolean>;
  /** The frames that count, from sequence number `from` on. */
  read(log: string, from?: number): AsyncIterable<Frame>;
  /** As `read`, then waits for more until `signal` aborts. Never holds more than `window` frames in memory. */
  tail(log: string, from: number, options: { signal: AbortSignal; window?: number }): AsyncIterable<Frame>;
  /** Resolves when all that was appended to `log` before the call is synced, with the objects it names. */
  sync(log: string): Promise<void>;
  list(): Promise<string[]>;
}

export interface Leases {
  /** The epoch, greater than `floor` and any before, under which this process may write `key`; null while a live owner holds it. */
  acquire(key: string, floor?: number): Promise<number | null>;
  /** Whether the lease is still held under `epoch`. */
  renew(key: string, epoch: number): Promise<boolean>;
  release(key: string, epoch: number): Promise<void>;
  /** Who holds `key`, if that process lives. */
  holder(key: string): Promise<Owner | null>;
}

/** A process, told apart from a later one with the same pid. */
export interface Owner {
  boot: string;
  pid: number;
  /** Start time of the process in clock ticks since boot, as the kernel reports it. */
  start: string;
  /** The pid namespace in which `pid` is valid. */
  ns: string;
}

export interface Store {
  readonly objects: Objects;
  readonly refs: Refs;
  readonly logs: Logs;
  readonly leases: Leases;
}

/** Larger contents are lists of chunks (see the tree format), so that no object is ever larger than this. */
export const MAX_OBJECT = 1 << 20;

/** The first record of a log. What came from outside (a path, a task) stands in blobs that it names. */
export interface LogHeader {
  v: 1;
  type: "log";
  /** 32 lower-case hex digits, random. */
  id: string;
  /** Where the scope starts: the state of a commit of another log, or nothing for the first log of a workspace. */
  origin: Origin | null;
  /** Facts for people and tools about the scope: never in any commit id. */
  meta: { [key: string]: Json };
}

export interface Origin {
  log: string;
  /** Number of the step it was forked from, and the sequence number of the frame that sealed it. */
  n: number;
  seq: number;
  commit: Hash;
  state: State;
  /** The highest step number of the prefix; the new scope goes on after it. */
  top: number;
  carry: Carry;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What a commit restores. In the commit id. */
export interface State {
  roots: { workspace: Link };
  threads: { [name: string]: Session };
}

/** One conversation: a linked list of content-addressed items (newest first), and the shell that belongs to it. */
export interface Session {
  items: Link | null;
  shell: Link | null;
}

/** What a frame restores besides the state. Not in any commit id. */
export interface Carry {
  /** Tree of the directories named `.git`. */
  vcs?: Link;
  /** Modification times of the workspace's entries. */
  mtimes?: Link;
  /** Modification times of the entries of `vcs`. */
  vcsMtimes?: Link;
  /** Tree of the Git directory that a file named `.git` at the workspace's root names. */
  outerVcs?: Link;
  /** Tree of the scope's `/tmp`, and of the directories named `.git` in it. */
  tmp?: Link;
  tmpVcs?: Link;
  /** Tree of the agent's configuration directory. */
  config?: Link;
  /** Tree of the root file system that the scope has instead of the host's, its modification times, and the same of its directories named `.git`. */
  root?: Link;
  rootMtimes?: Link;
  rootVcs?: Link;
  rootVcsMtimes?: Link;
  /** Anything a plugin wants back (a native transcript), as an object. */
  native?: Link;
}
