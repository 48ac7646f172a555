/**
 * Checks a store without trusting any of it, and without opening it as those do who work with it: what these refuse is what this must explain.
 * It may run beside writers and a collection; what was written after it began need not be seen.
 */
import { link, target } from "./bytes.ts";
import { isLogId } from "./chain.ts";
import type { Disk } from "./disk.ts";
import { parseCommit } from "./edge.ts";
import { because, error, type Finding, note, quoted, warning } from "./finding.ts";
import { isUnfinished } from "./forget.ts";
import { checkLog, type LogCheck } from "./fsck-log.ts";
import { type Lost, lostCache, lostObjects, type Referrer } from "./fsck-objects.ts";
import { checkLeases, checkRefFile, logOfRef, unsyncedFrom } from "./fsck-refs.ts";
import { type Inventory, takeInventory } from "./inventory.ts";
import { logPath, logPieces } from "./logfile.ts";
import { followsFrom, namesInRef } from "./mark.ts";
import { alive, thisOwner } from "./owner.ts";
import type { Hash, Link, Origin, Owner } from "./ports.ts";
import { breather, type Followers, idKey, startReach } from "./reach.ts";
import { listWriters, readGcState } from "./writers.ts";

export type { Finding } from "./finding.ts";

export interface FsckProgress {
  phase: "packs" | "cache" | "logs";
  done: number;
  total: number;
}

export interface FsckOptions {
  followers: Followers;
  /** Also checks the content of each object against its id, and each row of the indexes. Without, checksums are trusted to tell damage. */
  full?: boolean;
  onProgress?: (progress: FsckProgress) => void;
  signal?: AbortSignal | undefined;
  /** For tests: who lives, and the present boot of the machine. */
  lives?: (owner: Owner) => boolean;
  boot?: string;
}

/** A store as it lies on disk; it need not be one that can be opened. */
export interface StoreFiles {
  disk: Disk;
  directory: string;
}

/** Links that could not be followed beyond this number are not told one by one. */
const MOST = 10_000;

/** What is wrong with a store, as it is found. */
export async function* fsck(store: StoreFiles, options: FsckOptions): AsyncGenerator<Finding> {
  const { disk, directory } = store;
  const inventoryOf = (folder: string, cache: boolean): Inventory =>
    takeInventory(disk, directory, folder, {
      full: options.full ?? false,
      cache,
      signal: options.signal,
      onProgress: (done, total) => options.onProgress?.({ phase: cache ? "cache" : "packs", done, total }),
    });
  const objects = inventoryOf("objects", false);
  const derived = inventoryOf("cache/derived", true);
  try {
    yield* guarded(options, "format", checkFormat(store));
    yield* scanPacks(options, objects, derived);
    yield* guarded(options, "logs", checkLogs(store, objects, derived, options));
    yield* guarded(options, "writers", checkWriters(store, options.lives ?? alive));
  } finally {
    objects.close();
    derived.close();
  }
}

/** Sets right the one bit that a finding names; does nothing for one without `fix`. Synced at return. For a store that nobody works on. */
export async function mend({ disk, directory }: StoreFiles, { fix }: Pick<Finding, "fix">): Promise<void> {
  const file = fix && disk.open(`${directory}/${fix.file}`);
  if (!file) return;
  try {
    file.overwrite(fix.offset, Buffer.of(fix.byte));
    await file.sync();
  } finally {
    file.close();
  }
}

async function* scanPacks(options: FsckOptions, objects: Inventory, derived: Inventory): AsyncGenerator<Finding> {
  yield* guarded(options, "objects", objects.scan());
  yield* guarded(options, "cache/derived", derived.scan());
}

/** Logs and refs, and all that they name. */
async function* checkLogs(
  { disk, directory }: StoreFiles,
  objects: Inventory,
  derived: Inventory,
  options: FsckOptions,
): AsyncGenerator<Finding> {
  const { signal } = options;
  const lost = startFollowing(objects, derived, options);
  const logs = disk
    .list(`${directory}/logs`)
    .filter((name) => name.endsWith(".log") && isLogId(name.slice(0, -4)))
    .map((name) => name.slice(0, -4));
  const forks = yield* checkOrigins({ disk, directory }, logs);

  const leases = new Map<string, string>();
  yield* guarded(options, "leases", checkRefFile(disk, directory, "leases", leases));
  yield* checkLeases(leases);
  const boot = options.boot ?? thisOwner().boot;
  const unsynced = (log: string): number => unsyncedFrom(leases.get(`mark/${log}`), boot);

  const made = new Set<string>();
  const parents = new Map<Hash, { log: string; seq: number }>();
  const rest = breather(signal);
  for (const [done, log] of logs.entries()) {
    options.onProgress?.({ phase: "logs", done, total: logs.length });
    const check: LogCheck = {
      disk,
      directory,
      rest,
      follow: (links, log, seq) => lost.follow(links, { log, ...(seq !== undefined && { seq }) }),
      made: (key) => void made.add(key),
      names: (commit, log, seq) => void (parents.has(commit) || parents.set(commit, { log, seq })),
      forks: forks.get(log) ?? [],
      unsynced: unsynced(log),
    };
    yield* guarded(options, `logs/${log}.log`, checkLog(check, log), log);
  }
  const refs = new Map<string, string>();
  yield* guarded(options, "refs", checkRefFile(disk, directory, "refs", refs));
  const present = new Set(disk.list(`${directory}/logs`));
  for (const [ref, value] of refs) {
    const log = logOfRef(value);
    if (log && !present.has(`${log}.log`))
      yield error("ref", { log }, `The ref ${quoted(ref)} stands for log ${log}, which is not in this store.`);
    if (ref.startsWith("forget/") && isUnfinished(value))
      yield warning(
        "ref",
        {},
        `What ${quoted(ref)} says is to be forgotten is still there.`,
        "`shepherd gc` destroys it.",
      );
    await lost.follow(namesInRef(value).links, { ref });
  }

  // A commit of which no log is here can lie among the objects.
  const takeEdges = async (): Promise<void> => {
    for (const [id, at] of parents) {
      const bytes = made.has(idKey(id)) || !objects.holds(id) ? null : objects.read(id);
      if (bytes === null || typeof bytes === "string" || !parseCommit(bytes)) continue;
      made.add(idKey(id));
      await lost.follow([link("json", id)], at);
    }
  };
  await takeEdges();
  if (lost.troubles.size > 0 || [...parents.keys()].some((id) => !made.has(idKey(id)))) {
    // What was put after the packs were read, and named after that.
    yield* scanPacks(options, objects, derived);
    await lost.again();
    await takeEdges();
  }
  const unmade = (): boolean =>
    [...parents.keys()].some((id) => !made.has(idKey(id))) ||
    [...lost.troubles.keys()].some((link) => link.startsWith("items:") && !made.has(idKey(target(link))));
  // What was written into one log after it was read, and named in another after that.
  if (unmade()) for (const log of logs) for (const id of followsFrom({ disk, directory }, log)) made.add(idKey(id));
  for (const [id, { log, seq }] of parents)
    if (!made.has(idKey(id)))
      yield error(
        "commit",
        { log, seq, id },
        `The commit ${id}, which frame ${seq} of log ${log} names as a parent, follows from no log in this store.`,
      );
  for (const [link, { by, what }] of lost.troubles) {
    const { log, seq } = by;
    if (!log || seq === undefined || seq < unsynced(log) || (what !== "missing" && what !== "damaged")) continue;
    lost.troubles.delete(link);
    const text = `The frame ${seq} of log ${log} names ${link}, which the power failed to bring to the disk: the log is cut there when it is opened next.`;
    yield note("torn", { log, seq, id: target(link) }, text);
  }
  yield* lostObjects(objects, lost.troubles, made);
  yield* lostCache(derived);
  if (lost.untold() > 0) yield error("missing", {}, `${lost.untold()} more objects that are named are not there.`);
}

/** A walk over all that is named, which remembers where each link that it could not follow came from. */
function startFollowing(objects: Inventory, derived: Inventory, { followers, signal }: FsckOptions) {
  const troubles = new Map<Link, Lost>();
  let untold = 0;
  let now: Referrer = {};
  const reach = startReach(
    {
      // Nodes of conversations follow from the logs; nothing else may lie in the cache alone.
      holds: (id, kind) => objects.holds(id) || (kind === "items" && derived.holds(id)),
      isForgotten: objects.isForgotten,
      read: (id) => (objects.holds(id) ? objects.read(id) : derived.read(id)),
    },
    followers,
    {
      signal,
      onTrouble: (trouble) => {
        if (troubles.has(trouble.link)) return;
        if (troubles.size < MOST) troubles.set(trouble.link, { ...trouble, by: now });
        else untold++;
      },
    },
  );
  const follow = async (links: Iterable<Link>, by: Referrer): Promise<void> => {
    now = by;
    await reach.follow(links);
  };
  return {
    troubles,
    untold: () => untold,
    follow,
    again: async () => {
      for (const { link, what, by } of [...troubles.values()]) {
        if (what !== "missing") continue;
        troubles.delete(link);
        await follow([link], by);
      }
    },
  };
}

/** What each log says of the one that it was forked from, by the id of that. */
function* checkOrigins(
  store: StoreFiles,
  logs: readonly string[],
): Generator<Finding, Map<string, { log: string; origin: Origin }[]>> {
  const known = new Set(logs);
  const forks = new Map<string, { log: string; origin: Origin }[]>();
  for (const log of logs) {
    const origin = originOf(store, log);
    if (!origin) continue;
    if (!known.has(origin.log))
      yield warning(
        "origin",
        { log, id: origin.commit },
        `The log ${log} was forked from log ${quoted(origin.log)}, which is not in this store: what was before its start cannot be shown.`,
      );
    const others = forks.get(origin.log);
    if (others) others.push({ log, origin });
    else forks.set(origin.log, [{ log, origin }]);
  }
  return forks;
}

function originOf({ disk, directory }: StoreFiles, log: string): Origin | null {
  try {
    const file = disk.open(logPath(directory, log));
    try {
      const first = file && logPieces(file).next().value;
      return first && first.what === "header" ? first.header.origin : null;
    } finally {
      file?.close();
    }
  } catch {
    // Told when the log itself is checked.
    return null;
  }
}

function* checkFormat({ disk, directory }: StoreFiles): Generator<Finding> {
  const text = disk.read(`${directory}/format`)?.toString("latin1");
  if (text === "shepherd store 1\n") return;
  const at = { file: "format" };
  const version = /^shepherd store (\d{1,9})\n$/.exec(text ?? "")?.[1];
  if (version)
    yield error("format", at, `The store has format ${version}, and this Shepherd knows format 1.`, "Update Shepherd.");
  else {
    const how =
      text === undefined ? ", which says what this directory is, is missing" : " does not say that this is a store";
    yield error("format", at, `The file format${how}.`, 'It should hold one line, "shepherd store 1".');
  }
}

function* checkWriters(store: StoreFiles, lives: (owner: Owner) => boolean): Generator<Finding> {
  if (!readGcState(store))
    yield warning(
      "writer",
      { file: "writers/state" },
      "The file writers/state cannot be read, so writers store everything anew.",
      "Run `shepherd gc`.",
    );
  for (const { file: path, owner } of listWriters(store)) {
    const file = path.slice(store.directory.length + 1);
    if (!owner)
      yield warning(
        "writer",
        { file },
        `${file} does not say which process it belongs to, so \`shepherd gc\` waits for it.`,
        `Delete ${file} when no Shepherd runs on this store.`,
      );
    else if (!lives(owner))
      yield note(
        "writer",
        { file },
        `${file} was left by process ${owner.pid}, which is gone.`,
        "`shepherd gc` removes it.",
      );
  }
}

/** What cannot even be looked at must not end the check of the rest. */
async function* guarded(
  { signal }: FsckOptions,
  file: string,
  findings: Iterable<Finding> | AsyncIterable<Finding>,
  log?: string,
): AsyncGenerator<Finding> {
  try {
    yield* findings;
  } catch (wrong) {
    if (signal?.aborted) throw wrong;
    yield error("unreadable", { file, ...(log && { log }) }, `The check of ${file} ended early: ${because(wrong)}`);
  }
}
