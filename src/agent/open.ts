/** A store as it can be read, without running anything. */
import type { HeldStore } from "../run/stores.ts";
import type { Effects } from "./effect.ts";
import type { ObserveOptions, Step } from "./run.ts";

export interface RunInfo {
  readonly name: string;
  /** `running`, `paused`, `waiting`, `done`, `failed`, `error`, `aborted`, `interrupted`, `idle` or `discarded`. */
  readonly state: string;
  /** Name of the agent of a program; null for every other run. */
  readonly agent: string | null;
  /** Name of the run that it was forked from or called in. */
  readonly parent: string | null;
  /** The directory that it was started in. */
  readonly directory: string;
  /** ms since the epoch. */
  readonly created: number;
}

export interface OpenStore {
  readonly directory: string;
  /** All runs, oldest first, discarded ones too. `in`: those of one directory. */
  runs(options?: { in?: string }): Promise<RunInfo[]>;
  /** The own steps of a run so far, by number. Throws `Invalid` where there is no such run. */
  steps(run: string): Promise<Step[]>;
  /** The sealed steps of a run as they come, until it has ended. */
  observe(run: string, options?: ObserveOptions<Effects>): AsyncIterable<Step>;
  head(run: string): Promise<{ readonly n: number; readonly id: string } | null>;
  /** A file as it was behind a step, the newest without `at`; null where there was none. */
  file(run: string, path: string, options?: { at?: number }): Promise<Uint8Array | null>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a store to read: that of the command line, or the one in `directory`. Nothing runs, and no run is changed; as long as it is open, nothing is
 * collected. Throws `Invalid` where there is no store.
 */
export async function open(directory?: string): Promise<OpenStore> {
  const { useExisting } = await import("./stores.ts");
  return reading(await useExisting(directory), await import("./reading.ts"));
}

function reading({ store, close }: HeldStore, read: typeof import("./reading.ts")): OpenStore {
  return {
    directory: store.directory,
    runs: (options = {}) => read.runsIn(store, options.in),
    steps: (run) => read.steps(store, run),
    observe: async function* (run, options = {}) {
      yield* read.observed(store, run, options);
    },
    head: (run) => read.head(store, run),
    file: (run, path, options = {}) => read.file(store, run, path, options.at),
    close,
    [Symbol.asyncDispose]: close,
  };
}
