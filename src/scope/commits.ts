/** Steps by their commits, wherever they stand: read from the logs as they are needed, the nearest first. */
import { findEdge } from "../trace/edge.ts";
import type { Hash } from "../trace/ports.ts";
import type { Sealed } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { findScope } from "./registry.ts";
import { type Found, readLog, type View } from "./view.ts";

export type SealedStep = Found & { sealed: Sealed };

export interface Commits {
  /**
   * One at a time. The step that has a commit; where several have it, one of the log that is nearest. Null for what came with an imported
   * run and was no step of it (an edge). Throws a sentence where nothing leads to it.
   */
  get(id: Hash): Promise<SealedStep | null>;
}

/** Looks in the log of `view`, then in those that it came from and that it merged, then in main, then in all others. */
export function commitsFrom(store: EmbeddedStore, view: View): Commits {
  const known = new Map<Hash, SealedStep>();
  const queue: string[] = [view.log];
  const seen = new Set<string>();
  let rest: Array<() => Promise<string[]>> = [
    async () => {
      const main = view.ref && (await store.refs.get(`main/${view.ref.workspace}`));
      return main ? [(JSON.parse(main.value) as { log: string }).log] : [];
    },
    () => store.logs.list(),
  ];

  const read = async (log: string): Promise<void> => {
    const { fold } = await readLog(store, log);
    for (const step of fold.sealed) {
      const { id } = step.sealed!;
      if (!known.has(id)) known.set(id, { log, step, sealed: step.sealed! });
    }
    const { origin } = fold.header;
    if (origin) queue.push(origin.log);
    for (const { witness } of fold.sealed) {
      if (typeof witness.merged === "string") queue.push(witness.merged);
      else if (typeof witness.from === "string") {
        const from = await findScope(store, witness.from);
        if (from) queue.push(from.log);
      }
    }
  };

  return {
    get: async (id) => {
      for (;;) {
        const found = known.get(id);
        if (found) return found;
        const log = queue.shift();
        if (log === undefined) {
          const [more, ...others] = rest;
          // Only all logs are left.
          if (others.length === 0 && (await findEdge(store.objects, id))) return null;
          if (!more)
            throw new Error(`The commit ${id.slice(0, 12)} follows from no log in this store: run \`shepherd fsck\`.`);
          rest = others;
          queue.push(...(await more()));
        } else if (!seen.has(log)) {
          seen.add(log);
          // What was merged may be gone, and one that is damaged must not hide what others have.
          await read(log).catch((error: unknown) => {
            if (log === view.log) throw error;
          });
        }
      }
    },
  };
}
