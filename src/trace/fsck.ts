/**
 * Checks a store without trusting any of it, and without opening it as those do who work with it: what these refuse is what this must explain.
 * It may run beside writers and a collection; what was written after it began need not be seen.
 */
import { parseLink, target } from "./bytes.ts";
import type { Disk } from "./disk.ts";
import { type Finding, ONE_BIT } from "./finding.ts";
import { checkLog } from "./fsck-log.ts";
import { checkLeases, checkRefFile, logOfRef } from "./fsck-refs.ts";
import { type Broken, type Inventory, takeInventory } from "./inventory.ts";
import { logPath, logPieces, LOG_ID } from "./logfile.ts";
import { namesInRef } from "./mark.ts";
import { alive } from "./owner.ts";
import type { Hash, Link, Origin, Owner } from "./ports.ts";
import { breather, type Followers, idKey, startReach, type Trouble } from "./reach.ts";
import { listWriters, readGcState } from "./writers.ts";

export type { Finding } from "./finding.ts";

export interface FsckProgress {
  phase: "packs" | "logs" | "cache";
  done: number;
  total: number;
}

export interface FsckOptions {
  followers: Followers;
  /** Also checks the content of each object against its id, and each row of the indexes. Without, checksums are trusted to tell damage. */
  full?: boolean;
  onProgress?: (progress: FsckProgress) => void;
  signal?: AbortSignal | undefined;
  /** For tests: who lives. */
  lives?: (owner: Owner) => boolean;
}

/** A store as it lies on disk; it need not be one that can be opened. */
export interface StoreFiles {
  disk: Disk;
  directory: string;
}

/** Where a link was found that led to something. */
interface Origins {
  log?: string;
  seq?: number;
  ref?: string;
}

/** Links that could not be followed beyond this number are not told one by one. */
const MOST = 10_000;

/** What is wrong with a store, as it is found. Errors first only as far as they are found first. */
export async function* fsck(store: StoreFiles, options: FsckOptions): AsyncGenerator<Finding> {
  const { disk, directory } = store;
  const full = options.full ?? false;
  const progress = (phase: FsckProgress["phase"]) => (done: number, total: number) => options.onProgress?.({ phase, done, total });
  const inventoryOf = (folder: string, cache: boolean): Inventory =>
    takeInventory(disk, directory, folder, { full, cache, signal: options.signal, onProgress: progress(cache ? "cache" : "packs") });
  yield* checkFormat(store);

  const objects = inventoryOf("objects", false);
  const derived = inventoryOf("cache/derived", true);
  try {
    yield* guarded(options.signal, "objects", objects.scan());
    yield* guarded(options.signal, "cache/derived", derived.scan());
    yield* checkRest(store, objects, derived, options, progress("logs"));
  } finally {
    objects.close();
    derived.close();
  }
}

async function* checkRest(
  store: StoreFiles,
  objects: Inventory,
  derived: Inventory,
  options: FsckOptions,
  progress: (done: number, total: number) => void,
): AsyncGenerator<Finding> {
  const { disk, directory } = store;
  const { signal } = options;
  const troubles = new Map<Link, Trouble & Origins>();
  let untold = 0;
  let now: Origins = {};
  const reach = startReach(
    {
      holds: (id) => objects.holds(id) || derived.holds(id),
      read: (id) => (objects.holds(id) || !derived.holds(id) ? objects.read(id) : derived.read(id)),
    },
    options.followers,
    {
      signal,
      onTrouble: (trouble) => {
        if (troubles.has(trouble.link)) return;
        if (troubles.size < MOST) troubles.set(trouble.link, { ...trouble, ...now });
        else untold++;
      },
    },
  );
  const follow = async (links: Iterable<Link>, from: Origins): Promise<void> => {
    now = from;
    await reach.follow(links);
  };

  const logs = disk.list(`${directory}/logs`).filter((name) => name.endsWith(".log") && LOG_ID.test(name.slice(0, -4)));
  const known = new Set(logs.map((name) => name.slice(0, -4)));
  const forks = new Map<string, { log: string; origin: Origin }[]>();
  for (const log of known) {
    const origin = originOf(store, log);
    if (!origin) continue;
    forks.set(origin.log, [...(forks.get(origin.log) ?? []), { log, origin }]);
    if (!known.has(origin.log))
      yield {
        severity: "warning",
        what: "origin",
        log,
        id: origin.commit,
        text: `The log ${log} was forked from log ${origin.log}, which is not in this store: what was before its start cannot be shown.`,
      };
  }

  const made = new Set<string>();
  const named = new Map<Hash, Origins>();
  const rest = breather(signal);
  let done = 0;
  for (const log of known) {
    progress(done++, known.size);
    const check = {
      disk,
      directory,
      rest,
      follow: (links: readonly Link[], log: string, seq: number | undefined) => follow(links, { log, ...(seq !== undefined && { seq }) }),
      made: (key: string) => void made.add(key),
      names: (commit: Hash, log: string, seq: number) => void (named.has(commit) || named.set(commit, { log, seq })),
      forks: forks.get(log) ?? [],
    };
    yield* guarded(signal, `logs/${log}.log`, checkLog(check, log), { log });
  }
  progress(known.size, known.size);
  for (const [id, { log, seq }] of named)
    if (!made.has(idKey(id)))
      yield {
        severity: "error",
        what: "commit",
        ...(log && { log }),
        ...(seq !== undefined && { seq }),
        id,
        text: `The commit ${id}, which frame ${seq} of log ${log} names as a parent, follows from no log in this store.`,
      };

  const refs = new Map<string, string>();
  yield* guarded(signal, "refs", checkRefFile(disk, directory, "refs", refs));
  const present = new Set(disk.list(`${directory}/logs`));
  for (const [ref, value] of refs) {
    const log = logOfRef(value);
    if (log && !present.has(`${log}.log`))
      yield { severity: "error", what: "ref", log, text: `The ref ${JSON.stringify(ref)} stands for log ${log}, which is not in this store.` };
    await follow(namesInRef(value).links, { ref });
  }
  const leases = new Map<string, string>();
  yield* guarded(signal, "leases", checkRefFile(disk, directory, "leases", leases));
  yield* checkLeases(leases);
  yield* guarded(signal, "writers", checkWriters(store, options.lives ?? alive));

  if (troubles.size > 0) {
    // What was put after the packs were read, and named after that.
    yield* guarded(signal, "objects", objects.scan());
    yield* guarded(signal, "cache/derived", derived.scan());
    for (const { link, what, ...from } of [...troubles.values()]) {
      if (what !== "missing") continue;
      troubles.delete(link);
      await follow([link], from);
    }
  }
  yield* lostObjects(objects.broken, troubles, made, objects);
  for (const each of derived.broken) yield brokenCache(each);
  if (untold > 0) yield { severity: "error", what: "missing", text: `${untold} more objects that are named are not there.` };
}

/**
 * Sets right the one bit that a finding names. Synced at return. For a store that nobody works on at the moment.
 * Does nothing for a finding without a `fix`.
 */
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

/** Objects that are named and cannot be read, with what is known of their records; then damage that nothing needs. */
function* lostObjects(
  broken: readonly Broken[],
  troubles: ReadonlyMap<Link, Trouble & Origins>,
  made: ReadonlySet<string>,
  objects: Inventory,
): Generator<Finding> {
  const byId = new Map(broken.filter(({ id }) => id).map((each) => [each.id!, each]));
  const told = new Set<Hash>();
  for (const trouble of troubles.values()) {
    const { kind, id } = parseLink(trouble.link)!;
    // A part of a conversation that is computed anew from its log.
    if (kind === "items" && trouble.what !== "malformed" && made.has(idKey(id))) continue;
    const record = byId.get(id);
    told.add(id);
    const from = {
      ...(trouble.log && { log: trouble.log }),
      ...(trouble.seq !== undefined && { seq: trouble.seq }),
      id,
    };
    const by = `${trouble.from ? `${trouble.from.split(":")[0]} ${target(trouble.from)}, reached from ` : ""}${placeOf(trouble)}`;
    if (trouble.what === "forgotten")
      yield { severity: "note", what: "forgotten", ...from, text: `The ${kind} ${id}, named by ${by}, was forgotten on request.` };
    else if (trouble.what === "malformed")
      yield { severity: "error", what: "malformed", ...from, text: `The object ${id}, named as ${kind} by ${by}, is none: ${trouble.why}` };
    else if (record) yield { ...damaged(record, "error"), ...from, text: `The ${kind} ${id}, named by ${by}, is damaged in ${record.file} at byte ${record.offset}.` };
    else if (trouble.what === "damaged")
      yield { severity: "error", what: "object", ...from, text: `The ${kind} ${id}, named by ${by}, has not the content that its id says.` };
    else if (kind === "items")
      yield { severity: "error", what: "missing", ...from, text: `The conversation ${id}, named by ${by}, follows from no log in this store.` };
    else yield { severity: "error", what: "missing", ...from, text: `The ${kind} ${id}, named by ${by}, is not in this store.`, repair: "Put back a copy of the pack that held it." };
  }
  for (const record of broken) {
    const { id, file, offset, end } = record;
    if (id && told.has(id) && byId.get(id) === record) continue;
    const why = id && objects.read(id) instanceof Uint8Array ? "which is there a second time" : "which nothing names";
    yield { ...damaged(record, "warning"), text: `${id ? `The object ${id}, ${why},` : `Bytes ${offset} to ${end} of ${file}`} is damaged in ${file} at byte ${offset}.` };
  }
}

const damaged = ({ file, offset, id, fix }: Broken, severity: Finding["severity"]): Omit<Finding, "text"> => ({
  severity,
  what: "object",
  file,
  offset,
  ...(id && { id }),
  repair: fix ? ONE_BIT : severity === "error" ? "Put back a copy of the file, or capture the same content again: it is stored anew then." : "`shepherd gc` removes it in time.",
  ...(fix && { fix }),
});

const brokenCache = ({ file, offset, id }: Broken): Finding => ({
  severity: "warning",
  what: "object",
  file,
  offset,
  ...(id && { id }),
  text: `${id ? `The object ${id} of the cache` : "A record of the cache"} is damaged in ${file} at byte ${offset}.`,
  repair: "Delete cache/derived: it is computed anew.",
});

const placeOf = ({ log, seq, ref }: Origins): string =>
  ref !== undefined ? `the ref ${JSON.stringify(ref)}` : seq === undefined ? `the header of log ${log}` : `frame ${seq} of log ${log}`;

function* checkFormat({ disk, directory }: StoreFiles): Generator<Finding> {
  let text: string | undefined;
  try {
    text = disk.read(`${directory}/format`)?.toString("latin1");
  } catch (error) {
    yield { severity: "error", what: "format", file: "format", text: `The file format cannot be read: ${(error as Error).message}.` };
    return;
  }
  if (text === "shepherd store 1\n") return;
  const version = /^shepherd store (\d{1,9})\n$/.exec(text ?? "")?.[1];
  yield {
    severity: "error",
    what: "format",
    file: "format",
    text: version
      ? `The store has format ${version}, and this Shepherd knows format 1.`
      : text === undefined
        ? "The file format, which says what this directory is, is missing."
        : "The file format does not say that this is a store.",
    repair: version ? "Update Shepherd." : 'It should hold the one line "shepherd store 1".',
  };
}

function* checkWriters(store: StoreFiles, lives: (owner: Owner) => boolean): Generator<Finding> {
  if (!readGcState(store))
    yield { severity: "warning", what: "writer", file: "writers/state", text: "The file writers/state cannot be read, so writers store everything anew.", repair: "Run `shepherd gc`." };
  for (const { file, owner } of listWriters(store)) {
    const name = file.slice(store.directory.length + 1);
    if (!owner)
      yield { severity: "warning", what: "writer", file: name, text: `${name} does not say which process it belongs to, so \`shepherd gc\` waits for it.`, repair: `Delete ${name} when no Shepherd runs on this store.` };
    else if (!lives(owner)) yield { severity: "note", what: "writer", file: name, text: `${name} was left by process ${owner.pid}, which is gone.`, repair: "`shepherd gc` removes it." };
  }
}

/** Where a log says it was forked from. */
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

/** What cannot even be looked at must not end the check of the rest. */
async function* guarded(
  signal: AbortSignal | undefined,
  file: string,
  findings: Iterable<Finding> | AsyncIterable<Finding>,
  more: Partial<Finding> = {},
): AsyncGenerator<Finding> {
  try {
    yield* findings;
  } catch (error) {
    if (signal?.aborted) throw error;
    yield { severity: "error", what: "unreadable", file, ...more, text: `${file} cannot be checked: ${(error as Error).message}` };
  }
}
