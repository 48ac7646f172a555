/**
 * The driver that works everywhere: a scope's files are a directory of their own, filled with clones of the user's files where the file
 * system can share blocks, with copies from the store otherwise.
 *
 *     <store>/work/<id>/workspace/     the files
 *     <store>/work/<id>/stat           what is known of them, see statcache.ts
 */
import * as fs from "node:fs";
import { join, resolve } from "node:path";
import type { Objects } from "../trace/ports.ts";
import { type Capture, capture } from "./capture.ts";
import { bytesOf } from "./dirs.ts";
import type { Driver, World } from "./driver.ts";
import { type Materialised, materialise } from "./materialise.ts";
import { discard } from "./remove.ts";
import { loadCache, saveCache } from "./statcache.ts";

export interface PortableOptions {
  /** The directory of the store. */
  store: string;
  objects: Objects;
  /** Names the span in which the store collects no objects, see `capture`. */
  generation?: (() => string | undefined) | undefined;
}

/** The cache is written once this many files or bytes would have to be read again without it, and at the end. */
const FILES = 1000;
const BYTES = 64 << 20;

export function portableDriver({ store, objects, generation = () => undefined }: PortableOptions): Driver {
  const all = join(resolve(store), "work");
  return {
    name: "portable",
    samePath: false,
    open: async ({ id, state, from, partial, signal, onProgress }) => {
      if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/.test(id))
        throw new Error(`${JSON.stringify(id)} is not the id of a world.`);
      const home = join(all, id);
      const path = join(home, "workspace");
      const stat = join(home, "stat");
      fs.mkdirSync(home, { recursive: true, mode: 0o700 });
      if (!state) fs.mkdirSync(path, { recursive: true });
      const cache = loadCache(stat);
      let unsaved = { files: 0, bytes: 0 };
      const save = (): void => {
        if (unsaved.files === 0) return;
        unsaved = { files: 0, bytes: 0 };
        try {
          saveCache(stat, cache);
        } catch {
          // A full disk, say: without the cache everything is read again, and nothing is wrong.
        }
      };
      const did = <T extends Capture | Materialised>(result: T): T => {
        unsaved.files += result.stats.read;
        unsaved.bytes += result.stats.bytes;
        if (unsaved.files > FILES || unsaved.bytes > BYTES) save();
        return result;
      };
      const restore: World["restore"] = async (state, options) =>
        did(await materialise(path, state, objects, { ...options, cache, generation: generation() }));
      const opened = state ? await restore(state, { from, partial, signal, onProgress }) : null;

      let turn: Promise<unknown> = Promise.resolve();
      let open = true;
      const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
        const mine = turn.then(() => {
          if (!open) throw new Error(`The world ${id} is closed: open it again.`);
          return work();
        });
        turn = mine.catch(() => {});
        return mine;
      };
      return {
        opened,
        path: () => path,
        capture: (options) =>
          inTurn(async () => did(await capture(path, objects, { ...options, cache, generation: generation() }))),
        restore: (state, options) => inTurn(() => restore(state, options)),
        close: () =>
          inTurn(async () => {
            open = false;
            save();
          }),
        dispose: () =>
          inTurn(async () => {
            open = false;
            if (!(await discard(bytesOf(all), id)))
              throw new Error(`Something is mounted below ${home}: unmount it, then remove the directory.`);
          }),
      };
    },
  };
}
