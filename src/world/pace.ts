/** Long synchronous work in slices: the process stays responsive, the work can be stopped, and whoever waits is told. */

export interface Stats {
  /** Files and links seen. */
  files: number;
  /** Of these, the ones whose content was read or written. */
  read: number;
  bytes: number;
}

export interface PaceOptions {
  /** Stops the work; its reason is thrown. */
  signal?: AbortSignal | undefined;
  /** Called after 300 ms, and then about ten times a second. */
  onProgress?: ((stats: Readonly<Stats>) => void) | undefined;
}

export interface Pace {
  readonly stats: Stats;
  /** Whether the slice is over: `await rest()` then. Cheap enough to be asked for each file. */
  due(): boolean;
  /** Lets others run, tells progress, throws if the work is to stop. */
  rest(): Promise<void>;
}

const SLICE = 20;
const FIRST = 300;
const EVERY = 100;

export function pace({ signal, onProgress }: PaceOptions): Pace {
  signal?.throwIfAborted();
  const stats: Stats = { files: 0, read: 0, bytes: 0 };
  const start = performance.now();
  let end = start + SLICE;
  let tell = start + FIRST;
  return {
    stats,
    due: () => performance.now() > end,
    rest: async () => {
      await new Promise<void>((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
      const now = performance.now();
      if (onProgress && now > tell) {
        tell = now + EVERY;
        onProgress(stats);
      }
      end = performance.now() + SLICE;
    },
  };
}
