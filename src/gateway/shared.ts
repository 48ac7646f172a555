/** What the runs of one user do together, whichever processes drive them. */
import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Leases } from "../trace/ports.ts";
import { APART, type Limiter, LONGEST, sleep } from "./limiter.ts";
import type { Exclusive } from "./login/claude.ts";

/**
 * A limiter of files without content, whose names say all: `hold-T` that nobody may leave before T, `go-T` that somebody leaves at T, in ms since
 * the epoch. Each is made in one step and by one process, so there is nothing to lock, and a process that is killed leaves at most a place
 * that nobody takes. What is past is removed by whoever comes next.
 */
export function sharedLimiter(directory: string, now: () => number = Date.now): Limiter {
  const place = (upstream: string): string =>
    join(directory, createHash("sha256").update(upstream).digest("hex").slice(0, 16));

  /** The first moment at which somebody may leave: behind what is held back, and behind those that wait. */
  const free = (folder: string): number => Math.max(last(folder, "hold", now()), last(folder, "go", now()) + APART);

  return {
    pass: async (upstream, signal) => {
      signal.throwIfAborted();
      const folder = place(upstream);
      const begun = now();
      for (let at = free(folder); at > now(); at = last(folder, "hold", now())) {
        while (!make(folder, `go-${at}`)) at += APART;
        await sleep(at - now(), signal);
      }
      return Math.round(now() - begun);
    },
    hold: async (upstream, ms) => void make(place(upstream), `hold-${Math.ceil(now() + Math.min(ms, LONGEST))}`),
  };
}

/** The last moment that files of a kind name; 0 without any. What is past goes, and what is from before a clock was set back. */
function last(folder: string, kind: "hold" | "go", now: number): number {
  let at = 0;
  for (const name of names(folder)) {
    const [, is, digits] = /^(hold|go)-(\d{1,16})$/.exec(name) ?? [];
    if (!is) continue;
    const time = Number(digits);
    if (time < now || time > now + 2 * LONGEST) rmSync(join(folder, name), { force: true });
    else if (is === kind) at = Math.max(at, Math.min(time, now + LONGEST));
  }
  return at;
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Makes a file; false if there is one already. Where none can be made nobody is kept from asking. */
function make(folder: string, name: string): boolean {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    closeSync(openSync(join(folder, name), "wx", 0o600));
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EEXIST";
  }
}

/** How long another process may take, in ms, and how often it is looked for. */
const PATIENCE = 180_000;
const LOOK = 100;

/** Work that one process does at a time, by leases: one that is killed holds nobody back. */
export const exclusiveBy =
  (leases: Leases): Exclusive =>
  async (name, work) => {
    for (const end = Date.now() + PATIENCE; ; await new Promise((resolve) => setTimeout(resolve, LOOK))) {
      const epoch = await leases.acquire(name);
      if (epoch !== null)
        try {
          return await work();
        } finally {
          await leases.release(name, epoch);
        }
      if (Date.now() > end) throw new Error(`Another process does not come to an end of ${name}: stop it.`);
    }
  };
