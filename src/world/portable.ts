/**
 * The driver that works everywhere: each root of a world is a directory of its own, filled with clones of the files of a seed, or of a world
 * that is like it, where the file system can share blocks; with copies from the store otherwise.
 *
 *     <id>/<root>/         the files
 *     <id>/<root>.stat     what is known of them, see statcache.ts
 *     <id>/usage           what all of that takes, in bytes, told at the end of each use
 *     <id>/rest            there while no process can reach the files any more
 */
import * as fs from "node:fs";
import { join, resolve } from "node:path";
import type { Objects } from "../trace/ports.ts";
import { USAGE } from "../trace/quota.ts";
import { serial } from "../trace/serial.ts";
import { bringFiles } from "./bring.ts";
import { type Directory, openDirectory } from "./directory.ts";
import type { Captured, Driver, Lack, RestoreOptions, World, WorldSpec, WorldState } from "./driver.ts";
import { isLayered, type Layered, type Layers, openLayered, removeUnused, usable } from "./layered.ts";
import { anyBase, makeLayer } from "./layers.ts";
import { type OnLive, openOnLive } from "./live.ts";
import type { FileState } from "./materialise.ts";
import type { StatCache } from "./statcache.ts";
import { loadCache } from "./statfile.ts";
import { emptyTrash, throwAway } from "./trash.ts";

export interface PortableOptions {
  /** Where it keeps its worlds; it must exist. */
  directory: string;
  objects: Objects;
  /** Names the span in which the store collects no objects, see `capture`. */
  generation?: string | undefined;
  /** Where worlds can stand on a base that they share. */
  layers?: Layers | undefined;
  /** For tests: so far a stamp may be behind the clock, in ms; 2000 without. */
  lag?: number | undefined;
  /** Worlds with smaller stat caches (bytes, about 100 a file) are not worth handing over: they are filled at once. */
  worth?: number;
}

const restMark = (home: string): string => join(home, "rest");

function isSpare(home: string, worth: number): boolean {
  if (!fs.existsSync(restMark(home)) || fs.readdirSync(home).some((name) => /\.(base|upper)$/.test(name))) return false;
  let known = 0;
  for (const name of fs.readdirSync(home)) if (name.endsWith(".stat")) known += fs.statSync(join(home, name)).size;
  return known >= worth;
}

const isId = (id: string): boolean => /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/.test(id);

export function portableDriver(options: PortableOptions): Driver {
  const { directory, objects, generation, layers, lag, worth = 256 << 10 } = options;
  const all = resolve(directory);
  const homeOf = (id: string): string => {
    if (!isId(id)) throw new Error(`${JSON.stringify(id)} is not the id of a world.`);
    return join(all, id);
  };
  return {
    name: "portable",
    open: async (spec) => {
      const home = homeOf(spec.id);
      const isNew = fs.mkdirSync(home, { recursive: true, mode: 0o700 }) !== undefined;
      if (!isNew) {
        fs.rmSync(restMark(home), { force: true });
        touch(home);
      }
      const like = spec.like === undefined ? undefined : homeOf(spec.like);
      const layered =
        layers && spec.family ? await openLayers(home, layers, objects, generation, { ...spec, like }, isNew) : {};
      const world = openWorld(home, spec, objects, { generation, lag }, layered);
      try {
        const names = (Object.keys(spec.state) as (keyof typeof spec.state)[]).filter((name) => !layered[name]?.isSet);
        const state = Object.fromEntries(names.map((name) => [name, spec.state[name]])) as typeof spec.state;
        const seeds = isNew && like !== undefined ? { ...sources(like, names), ...spec.seeds } : spec.seeds;
        if (names.length > 0) await world.restore(state, { ...spec, seeds });
      } catch (error) {
        await world.close();
        throw error;
      }
      return world;
    },
    openOnLive: async (spec, { root, path }) => {
      const home = homeOf(spec.id);
      if (!layers?.roots.includes(root)) return null;
      fs.mkdirSync(home, { recursive: true, mode: 0o700 });
      const live = await openOnLive(home, root, layers, path);
      if (!live) return null;
      const world = openWorld(home, spec, objects, { generation, lag }, {}, { [root]: live });
      try {
        await world.restore(spec.state, spec);
      } catch (error) {
        await world.close();
        throw error;
      }
      return { ...world, ground: (held) => world.ground(root, held), stirred: live.stirred };
    },
    isNear: async (root, family) =>
      family !== undefined &&
      layers?.roots.includes(root) === true &&
      (await usable(layers)) !== null &&
      anyBase(layers, family) !== null,
    prepare: async (root, family, state, options) => {
      const mounts = family !== undefined && layers?.roots.includes(root) ? await usable(layers) : null;
      if (mounts) await makeLayer(layers!, mounts, objects, { ...options, family: family!, generation, state }, null);
    },
    kept: (root, id) => {
      const directory = join(homeOf(id), root);
      // What stands on a base is seen by whoever has it open.
      return fs.existsSync(directory) && !isLayered(homeOf(id), root) ? directory : null;
    },
    isAtRest: (id) => {
      const home = homeOf(id);
      return !fs.existsSync(home) || fs.existsSync(restMark(home));
    },
    list: async () =>
      fs
        .readdirSync(all)
        .filter(isId)
        .map((id) => ({
          id,
          used: fs.statSync(join(all, id), { throwIfNoEntry: false })?.mtimeMs ?? 0,
          spare: isSpare(homeOf(id), worth),
        })),
    handOver: async (root, from, to) => {
      const [old, home] = [homeOf(from), homeOf(to)];
      if (!isSpare(old, worth) || fs.existsSync(home)) return false;
      // Killed in between, one has files without a stat cache, or a stat cache without files: neither is believed.
      for (const each of [restMark(old), join(old, USAGE)]) fs.rmSync(each, { force: true });
      fs.mkdirSync(home, { mode: 0o700 });
      for (const name of [root, `${root}.stat`]) fs.renameSync(join(old, name), join(home, name));
      return true;
    },
    dispose: async (id) => {
      throwAway(all, homeOf(id), layers);
    },
    tidy: async (idle) => {
      if (!(await emptyTrash(all, layers)))
        throw new Error(`Something is mounted below ${all}/.gone: unmount it, then remove the directory.`);
      if (layers) await removeUnused(layers.bases, all, idle);
    },
  };
}

/** Those of its roots that stand on layers. */
async function openLayers<Root extends string>(
  home: string,
  layers: Layers,
  objects: Objects,
  generation: string | undefined,
  { roots, state, seeds, family, like, signal, onProgress }: WorldSpec<Root>,
  isNew: boolean,
): Promise<{ [name: string]: Layered }> {
  const opened: { [name: string]: Layered } = {};
  for (const name of layers.roots as Root[]) {
    if (!roots[name]) continue;
    const { mode, owners, family: own = family } = roots[name];
    const more = { state: state[name], seed: seeds?.[name], like, isNew, signal, onProgress };
    const layer = await openLayered(home, name, layers, objects, { family: own!, generation, mode, owners, ...more });
    if (layer) opened[name] = layer;
  }
  return opened;
}

/** Roots of another world. It may be in use: what it is known to hold is looked at again before it is taken. */
const sources = <Root extends string>(home: string, names: readonly Root[]): RestoreOptions<Root>["seeds"] =>
  Object.fromEntries(
    names.map((name) => [name, { path: join(home, name), cache: loadCache(join(home, `${name}.stat`)) }]),
  ) as RestoreOptions<Root>["seeds"];

function openWorld<Root extends string>(
  home: string,
  spec: WorldSpec<Root>,
  objects: Objects,
  { generation, lag }: Pick<PortableOptions, "generation" | "lag">,
  layers: { [name: string]: Layered },
  live: { [name: string]: OnLive } = {},
): World<Root> & { ground(root: Root, held: StatCache): void } {
  const names = Object.keys(spec.roots) as Root[];
  const shown: { [name: string]: Pick<Layered, "path" | "check" | "isUntouched" | "close"> } = { ...layers, ...live };
  const pathOf = (name: Root): string => shown[name]?.path ?? join(home, name);
  const openRoot = (name: Root, layer?: Pick<Layered, "ground" | "changed" | "isSet">): Directory =>
    openDirectory(
      pathOf(name),
      spec.roots[name],
      objects,
      generation,
      layer && { ...layer, stat: join(home, `${name}.stat`), lag },
    );
  // Without those of which nobody knows yet on what they stand.
  const roots = new Map(names.filter((name) => !live[name]).map((name) => [name, openRoot(name, layers[name])]));
  const each = async <T>(work: (root: Directory, name: Root) => T): Promise<{ [name in Root]: Awaited<T> }> => {
    const done = {} as { [name in Root]: Awaited<T> };
    for (const [name, root] of roots) done[name] = await work(root, name);
    return done;
  };

  const grounds = new Map<Root, StatCache>();
  /** What is otherwise in a state than on the ground is so because it was set so. */
  const decide = async (name: Root, { tree, vcs }: FileState): Promise<void> => {
    const held = grounds.get(name)?.dirs.get("")?.ids;
    if (!held) return;
    await live[name]!.decide(objects, held.tree, tree);
    if (vcs !== undefined) await live[name]!.decide(objects, held.vcs, vcs);
  };

  let missing: Lack<Root>[] = [];
  let open = true;
  const queue = serial();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> =>
    queue(async () => {
      if (!open) throw new Error(`The world ${spec.id} is closed: open it again.`);
      return work();
    });
  const withFiles = <T>(work: () => Promise<T>): Promise<T> =>
    inTurn(() => {
      for (const layer of Object.values(shown)) layer.check();
      return work();
    });
  return {
    paths: Object.fromEntries(names.map((name) => [name, pathOf(name)])) as { [name in Root]: string },
    ground: (name, held) => {
      const { changedFrom } = live[name]!;
      grounds.set(name, held);
      roots.set(name, openRoot(name, { ground: held, changed: changedFrom(held), isSet: false }));
    },
    get missing() {
      return missing;
    },
    capture: ({ mapped, ...options } = {}) =>
      withFiles(() => {
        if (roots.size < names.length) throw new Error("Nobody knows yet on what the files of the scope stand.");
        return each(
          (root, name): Promise<Captured> =>
            root.capture({ ...options, mapped: mapped && { at: mapped.at, files: mapped.files[name] ?? new Set() } }),
        );
      }),
    restore: (state: WorldState<Root>, { seeds, signal, onProgress }: RestoreOptions<Root> = {}) =>
      withFiles(async () => {
        const lacks: Lack<Root>[] = [];
        await each(async (directory, root) => {
          const wanted = state[root];
          if (!wanted) return;
          const done = await directory.restore(wanted, { from: seeds?.[root], signal, onProgress });
          await decide(root, wanted);
          lacks.push(...done.missing.map((lack) => ({ root, ...lack })));
        });
        missing = lacks;
      }),
    bring: (root, from, to) =>
      withFiles(async () => {
        await bringFiles(pathOf(root), from, to, objects);
        await decide(root, { tree: to });
      }),
    close: ({ inUse = false } = {}) =>
      inTurn(async () => {
        open = false;
        await each((root) => root.save());
        let bytes = 0;
        for (const [name, root] of roots) if (!live[name] && !shown[name]?.isUntouched()) bytes += await root.bytes();
        for (const layer of Object.values(shown)) await layer.close();
        // A file takes a block, more than what has changed nothing takes otherwise.
        if (bytes > 0) note(join(home, USAGE), `${bytes}\n`);
        if (!inUse) note(restMark(home), "");
        touch(home);
      }),
  };
}

/** Says something of a world that is closed. */
function note(file: string, text: string): void {
  try {
    fs.writeFileSync(file, text, { mode: 0o600 });
  } catch {
    // A full disk: who wants to know looks, and nobody else gets the files.
  }
}

/** Its time is that of the last use. */
function touch(home: string): void {
  const now = Date.now() / 1000;
  try {
    fs.utimesSync(home, now, now);
  } catch {
    // Gone, or on a disk that takes nothing: at worst it is removed early, and made anew.
  }
}
