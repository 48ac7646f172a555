/** How a scope gets its files: the port that drivers implement. A driver keeps caches only; the store has the truth. */
import type { Capture, CaptureOptions } from "./capture.ts";
import type { FileState, Materialised, MaterialiseOptions, Source } from "./materialise.ts";
import type { PaceOptions } from "./pace.ts";

export interface Driver {
  readonly name: string;
  /** Whether the scope's commands see its files at the path of the user's own directory. */
  readonly samePath: boolean;
  /**
   * Opens the world `id`, which one process at a time may have open. What an earlier owner left under this id, killed or not, is used
   * as far as it is right.
   */
  open(spec: WorldSpec): Promise<World>;
}

export interface WorldSpec extends PaceOptions {
  /** Letters, digits, `.`, `_` and `-`; at most 128, not starting with a dot. */
  id: string;
  /** What it is to hold. Left out: what it was left with, or nothing if it is new. */
  state?: FileState | undefined;
  /** A directory that may still hold the same files, such as the user's own. */
  from?: Source | undefined;
  /** Opens without what the store lacks instead of throwing `Missing`. */
  partial?: boolean | undefined;
}

/** The files of one scope. Its operations run one after the other. */
export interface World {
  /** Where the workspace lies on the host, absolute. The same until it is disposed of. */
  path(): string;
  /** What `open` had to do; null if it was to do nothing. */
  readonly opened: Materialised | null;
  /** The files as they are now. Processes may go on writing meanwhile. */
  capture(options?: Pick<CaptureOptions, "signal" | "onProgress">): Promise<Capture>;
  /** Sets the files to a state. No process may write to them meanwhile. */
  restore(
    state: FileState,
    options?: Pick<MaterialiseOptions, "signal" | "onProgress" | "partial" | "from">,
  ): Promise<Materialised>;
  /** Lets go of the world; its files stay as they are for the next `open`. */
  close(): Promise<void>;
  /** Lets go of the world and removes its files. */
  dispose(): Promise<void>;
}
