/**
 * What a provider asked of one call is heeded by all: a 429 or 529 that says how long to wait keeps the others back as long. An object
 * of its own with asynchronous calls, so that one can stand behind it that several processes share.
 */
export interface Limiter {
  /** Waits until a request may leave for `upstream`; gives the ms that it waited. Rejects if `signal` aborts. */
  pass(upstream: string, signal: AbortSignal): Promise<number>;
  /** The provider asks to be left alone for a time. */
  hold(upstream: string, ms: number): Promise<void>;
}

/** Nobody is kept back longer: the provider says it again, and then in its own words to the client. */
export const LONGEST = 60_000;
/** Those that waited do not all leave at once. */
export const APART = 50;

export function makeLimiter(now: () => number = () => performance.now()): Limiter {
  const free = new Map<string, number>();
  return {
    pass: async (upstream, signal) => {
      signal.throwIfAborted();
      const begun = now();
      for (let at = free.get(upstream) ?? 0; at > now(); at = free.get(upstream) ?? 0) {
        await sleep(at - now(), signal);
        // Whoever is first moves it on for the next.
        if ((free.get(upstream) ?? 0) <= now()) {
          free.set(upstream, now() + APART);
          break;
        }
      }
      return Math.round(now() - begun);
    },
    hold: async (upstream, ms) => {
      free.set(upstream, Math.max(free.get(upstream) ?? 0, now() + Math.min(ms, LONGEST)));
    },
  };
}

export const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(
      () => {
        signal.removeEventListener("abort", stop);
        resolve();
      },
      Math.max(1, ms),
    );
    signal.addEventListener("abort", stop, { once: true });
  });

/** How long a provider asks to be left alone, in ms; null where it does not. */
export function retryAfter(
  headers: { [name: string]: string | string[] | undefined },
  now = Date.now(),
): number | null {
  const ms = Number(headers["retry-after-ms"]);
  if (typeof headers["retry-after-ms"] === "string" && Number.isFinite(ms) && ms >= 0) return ms;
  const after = headers["retry-after"];
  if (typeof after !== "string") return null;
  if (/^\d+(\.\d+)?$/.test(after)) return Number(after) * 1000;
  const date = Date.parse(after);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}
