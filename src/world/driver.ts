/**
 * How a scope gets its files: the port that drivers implement. All that a driver keeps is a cache, and may be gone at the next open: the
 * store has the truth.
 *
 * There is no call for a fork. A child is a world of its own, opened at a state that its parent captured; a driver that can share files finds
 * them by that state. So the parent is not asked: it may be in use, at rest, or gone.
 */
import type { Hash } from "../trace/ports.ts";
import type { Capture } from "./capture.ts";
import type { FileState, Source } from "./materialise.ts";
import type { PaceOptions } from "./pace.ts";
import type { StatCache } from "./statcache.ts";

export interface Driver {
  readonly name: string;
  /**
   * Opens the world `id`, which one process at a time may have open. What an earlier owner left under this id, killed or not, is used
   * as far as it is right. Stopped or failed halfway nothing is open, and the same call goes on from there.
   */
  open<Root extends string>(spec: WorldSpec<Root>): Promise<World<Root>>;
  /**
   * Opens a new world with one root on a directory of the user's, which nobody has read yet; null where that cannot be. The state says nothing of
   * that root.
   */
  openOnLive<Root extends string>(
    spec: WorldSpec<Root>,
    live: { root: Root; path: string },
  ): Promise<OnLive<Root> | null>;
  /** Whether a new world of a family finds most of a root there. */
  isNear(root: string, family: string | undefined): Promise<boolean>;
  /** Makes what `isNear` asks for, behind all else. Rejects with the reason of `signal`; what is not ready then is given up. */
  prepare(
    root: string,
    family: string | undefined,
    state: FileState,
    options: PaceOptions & { seed?: Source },
  ): Promise<void>;
  /** Where a root of a world lies as it was left or is now, whoever has it open; null if nothing of it is kept, or only its owner sees it. To read only. */
  kept(root: string, id: string): string | null;
  /** Whether no process of an earlier owner can reach the files of a world: there are none, or it was closed so. */
  isAtRest(id: string): boolean;
  /** The worlds that it keeps something of. */
  list(): Promise<Kept[]>;
  /**
   * Gives the world `to`, of which it keeps nothing, a root that it keeps of `from`, and tells whether it did. Nobody has either open. The next
   * open of `to` then changes files instead of making them, that of `from` makes them anew.
   */
  handOver(root: string, from: string, to: string): Promise<boolean>;
  /** Gives up all that it keeps of a world that nobody has open. Its files are removed behind that. */
  dispose(id: string): Promise<void>;
  /** Removes for good what was given up, and what it keeps for several worlds and none needs: nor is it younger than `idle` (ms). */
  tidy(idle: number): Promise<void>;
}

export interface Kept {
  id: string;
  /** When it was opened or closed last (ms since 1970). */
  used: number;
  /** Whether handing it over spares much work, and no process can still write to it. */
  spare: boolean;
}

export interface WorldSpec<Root extends string> extends RestoreOptions<Root> {
  /** Letters, digits, `.`, `_` and `-`; at most 128, not starting with a dot. */
  id: string;
  /** Its directories. */
  roots: { readonly [name in Root]: RootSpec };
  state: WorldState<Root>;
  /** A world that may hold much of the same, as that of a fork's parent: a hint where to share blocks. */
  like?: string | undefined;
  /** Worlds of one family hold much of the same: what they have in common may be kept once. As an id. */
  family?: string | undefined;
}

/** A directory of a world, named by lower-case letters. */
export interface RootSpec {
  /** The mode of a new one; 0700 without. */
  mode?: number;
  /** Whether it is restored who owns what. */
  owners?: boolean;
  /** Roots of one family hold much of the same, whatever the family of their worlds is. As an id. */
  family?: string | undefined;
  /** Names at its top that are in no state, and stay as they are. */
  exclude?: readonly string[];
}

/** What the roots are to hold. One that is left out stays as it was left; a new one is empty. */
export type WorldState<Root extends string> = { readonly [name in Root]?: FileState | undefined };

export interface RestoreOptions<Root extends string> extends PaceOptions {
  /** Directories that may still hold the same files, such as the user's own, to share blocks with. They are only read. */
  seeds?: { readonly [name in Root]?: Source | undefined } | undefined;
}

/**
 * A world on a directory of the user's. Processes may work in it; nothing else can be done before it is known what that directory held. What its
 * user does there from then on shows through, where the world has not changed the same, and is in none of its states.
 */
export interface OnLive<Root extends string> extends World<Root> {
  /** @param held what was found there, by the capture of its state */
  ground(held: StatCache): void;
  /** Whether something has changed in the user's directory since this was asked last, as far as stamps tell. */
  stirred(): Promise<boolean>;
}

/** The files of one scope. Its operations run one after the other. */
export interface World<Root extends string> {
  /** Where the roots lie, absolute: what a sandbox binds. The same as long as the world is open. */
  readonly paths: { readonly [name in Root]: string };
  /** What the store lacked of the state that the world was set to last. It is without that. */
  readonly missing: readonly Lack<Root>[];
  /** The files as they are now: what changed since the last capture is read. Processes may go on writing meanwhile. */
  capture(options?: CaptureOptions<Root>): Promise<{ readonly [name in Root]: Captured }>;
  /**
   * Sets the files to a state, in place: whoever has a root bound, or stands in it, sees them. No process may write meanwhile. Stopped or
   * failed halfway, the next restore goes on from there.
   */
  restore(state: WorldState<Root>, options?: RestoreOptions<Root>): Promise<void>;
  /**
   * Changes a root from the tree of its last capture to another one while processes go on: only what the two differ in is touched, each file
   * at once. Directories named `.git` stay as they are.
   */
  bring(root: Root, from: Hash, to: Hash): Promise<void>;
  /** Lets go of the world. Its files are kept for the next open. `inUse`: a process may go on writing to them. */
  close(options?: { inUse?: boolean }): Promise<void>;
}

export interface CaptureOptions<Root extends string> extends PaceOptions {
  /** Files that processes can write to through mappings, which leaves no stamp, and when that was looked at (ms since 1970), before the capture. */
  mapped?: { at: number; files: { readonly [name in Root]?: ReadonlySet<string> } } | undefined;
}

export type Captured = Omit<Capture, "stats">;

export interface Lack<Root extends string> {
  root: Root;
  path: Buffer;
  id: Hash;
}
