/**
 * Which logs and objects are kept: what the roots reach. A log that is kept keeps everything that any intact record of it names, the logs
 * that it names (the one it was forked from, one that it merged), and every log from which a commit or a part of a conversation follows
 * that it names only by its hash.
 */
import { decodeJson, link as linkOf, parseLink, sha256 } from "./bytes.ts";
import { counted, type LogFile, openLogFile } from "./chain.ts";
import { parseCommit } from "./edge.ts";
import { logPath, type Names, namesIn, recordNames } from "./logfile.ts";
import type { Hash, Json, Link } from "./ports.ts";
import { breather, type Followers, packShelf, type Reach, startReach, type Trouble } from "./reach.ts";
import { startFold } from "./seal.ts";
import type { EmbeddedStore } from "./store.ts";

/** What must be kept for its own sake. */
export interface Roots {
  logs: Iterable<string>;
  links?: Iterable<Link>;
  /** Commits: the logs are kept that they follow from. */
  hashes?: Iterable<Hash>;
}

export interface Marking {
  readonly reach: Reach;
  /** Logs that are kept. */
  readonly kept: ReadonlySet<string>;
  /** What could not be followed, without what was forgotten on request and without what follows from the logs. */
  readonly troubles: ReadonlyMap<Link, Trouble>;
  /** Kept logs in which a record is broken: what it named cannot be known. */
  readonly broken: ReadonlySet<string>;
  /** Takes in `roots`, and all that was written since the last call. What was marked once stays so. */
  add(roots: Roots): Promise<void>;
}

/** Troubles beyond this are counted as one: their number says nothing more. */
const MOST = 10_000;

export function startMarking(
  store: EmbeddedStore,
  followers: Followers,
  options: { signal?: AbortSignal | undefined; onLog?: (done: number, known: number) => void } = {},
): Marking {
  const { disk, directory } = store;
  const troubles = new Map<Link, Trouble>();
  const shelf = { current: packShelf(store.objects, store.derived) };
  const reach = startReach(
    { holds: (id, kind) => shelf.current.holds(id, kind), read: (id, kind) => shelf.current.read(id, kind) },
    followers,
    {
      signal: options.signal,
      onTrouble: (trouble) => {
        const { kind, id } = parseLink(trouble.link)!;
        // A node of a conversation follows from a log; that log must be kept instead.
        if (kind === "items" && trouble.what !== "malformed") wanted.add(id);
        else if (trouble.what !== "forgotten" && troubles.size < MOST) troubles.set(trouble.link, trouble);
      },
    },
  );
  const kept = new Set<string>();
  const broken = new Set<string>();
  const readTo = new Map<string, number>();
  const wanted = new Set<Hash>();
  // Those of them that were looked at as objects, in case they are edges.
  const looked = new Set<Hash>();
  // Of logs that nothing keeps so far: what follows from them.
  const following = new Map<string, Set<Hash>>();
  const rest = breather(options.signal);

  const take = async (names: Names, queue: string[]): Promise<void> => {
    for (const hash of names.hashes) wanted.add(hash);
    for (const link of names.links) if (link.startsWith("items:")) wanted.add(parseLink(link)!.id);
    queue.push(...names.logs);
    await reach.follow(names.links);
  };

  /** Everything that `log` names and was not read before. */
  const read = async (log: string, queue: string[]): Promise<void> => {
    // What a power loss tore off names objects that were never there. A log that cannot be read is told below.
    await store.recover(log).catch(() => {});
    const file = disk.open(logPath(directory, log));
    if (!file) return;
    try {
      for (const names of recordNames(file, log, readTo.get(log), () => broken.add(log))) {
        readTo.set(log, names.end);
        await take(names, queue);
      }
    } finally {
      file.close();
    }
  };

  /** A commit that is named by its hash, and lies among the objects since it may follow from no log, is kept with all that it needs. */
  const takeEdges = async (): Promise<void> => {
    for (const id of wanted) {
      if (looked.has(id) || !shelf.current.holds(id, "json")) continue;
      looked.add(id);
      const bytes = shelf.current.read(id, "json");
      if (typeof bytes !== "string" && parseCommit(bytes)) await reach.follow([linkOf("json", id)]);
    }
  };

  /** Looks for what others put meanwhile, and again for what was missing. */
  const refresh = async (): Promise<void> => {
    store.objects.refresh();
    store.derived.refresh();
    shelf.current = packShelf(store.objects, store.derived);
    const again = [...troubles.values()].filter(({ what }) => what === "missing").map(({ link }) => link);
    for (const link of again) troubles.delete(link);
    await reach.follow(again);
  };

  return {
    reach,
    kept,
    troubles,
    broken,
    add: async (roots) => {
      await refresh();
      const there = new Set(await store.logs.list());
      const queue: string[] = [...kept];
      await take({ links: [...(roots.links ?? [])], logs: [...roots.logs], hashes: [...(roots.hashes ?? [])] }, queue);
      const done = new Set<string>();
      for (;;) {
        for (let log = queue.pop(); log !== undefined; log = queue.pop()) {
          if (done.has(log) || !there.has(log)) continue;
          done.add(log);
          kept.add(log);
          await read(log, queue);
          options.onLog?.(done.size, there.size);
        }
        // Objects are there before the frames that name them.
        store.objects.refresh();
        await takeEdges();
        for (const log of there) {
          if (done.has(log)) continue;
          await rest();
          const ids = following.get(log) ?? followsFrom(store, log);
          following.set(log, ids);
          for (const id of ids) {
            if (!wanted.has(id)) continue;
            queue.push(log);
            break;
          }
        }
        if (queue.length === 0) break;
      }
      // Objects are there before the frames that name them, so now they must be.
      if (troubles.size > 0) await refresh();
    },
  };
}

/** The ids of all commits and nodes of conversations that follow from a log. */
export function followsFrom({ disk, directory }: Pick<EmbeddedStore, "disk" | "directory">, log: string): Set<Hash> {
  const ids = new Set<Hash>();
  let file: LogFile | null = null;
  try {
    file = openLogFile(disk, logPath(directory, log), log);
    if (!file) return ids;
    const fold = startFold(file.header, (bytes) => ids.add(sha256(bytes)));
    for (const { frame, cursor } of counted(file.segment, file.first)) fold.push(frame, cursor.prev);
  } catch {
    // Nothing follows from a log that cannot be read, nor from what stands behind a frame that breaks a law.
  } finally {
    file?.segment.close();
  }
  return ids;
}

/**
 * The logs and objects that refs name: the value of a ref is the id of a log, or JSON with ids of logs and links anywhere in it.
 * @param keep which refs count; by default all
 */
export async function refRoots(
  store: Pick<EmbeddedStore, "refs">,
  keep: (ref: { name: string; value: string }) => boolean = () => true,
): Promise<Required<Roots>> {
  const roots = { logs: new Set<string>(), links: new Set<Link>(), hashes: new Set<Hash>() };
  for (const ref of await store.refs.list("")) {
    if (!keep(ref)) continue;
    const names = namesInRef(ref.value);
    for (const log of names.logs) roots.logs.add(log);
    for (const link of names.links) roots.links.add(link);
    for (const hash of names.hashes) roots.hashes.add(hash);
  }
  return roots;
}

/** What the value of a ref names. */
export function namesInRef(value: string): Names {
  let parsed: Json = value;
  try {
    parsed = decodeJson(Buffer.from(value));
  } catch {
    // The text itself.
  }
  return namesIn(typeof parsed === "object" ? parsed : value);
}
