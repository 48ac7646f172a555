/**
 * Collects garbage beside live writers, pack by pack.
 *
 * 1. Mark everything that is kept, while all go on writing; from this it is known which packs hold much garbage, and which logs nothing keeps.
 * 2. Condemn these packs and logs (see `writers.ts`), and wait until every live writer has acknowledged: what they named before stands in a
 *    frame by now, and from now on they name nothing in there.
 * 3. Mark what has come since.
 * 4. Remove the logs that are still not kept. Copy what is kept out of each condemned pack, sync, remove the pack.
 * 5. Condemn nothing.
 *
 * Killed at any point, it leaves copies that the next collection finds to be garbage, and a state that the next one replaces. Nothing is removed
 * before what is kept of it is synced elsewhere, and no pack before the logs that named what dies with it.
 */
import { finishForget } from "./forget.ts";
import { logPath } from "./logfile.ts";
import { type Marking, type Roots, refRoots, startMarking } from "./mark.ts";
import { alive } from "./owner.ts";
import type { Owner } from "./ports.ts";
import { breather, type Followers } from "./reach.ts";
import { RECORD_HEAD } from "./record.ts";
import { makePack, removePack, salvage, sweep } from "./salvage.ts";
import type { EmbeddedStore } from "./store.ts";
import { lagging, listWriters, publishGcState, readGcState, safepointHere, takeGcLease } from "./writers.ts";

export interface PackFigures {
  number: number;
  bytes: number;
  /** Objects in it that are kept, and the bytes of their records. */
  objects: number;
  kept: number;
  /** All other bytes. */
  garbage: number;
}

export interface GcReport {
  logs: { kept: number; removed: string[] };
  /** Packs as they are now; with `dryRun` and otherwise. */
  packs: PackFigures[];
  removed: PackFigures[];
  /** Packs that should have gone and stay, since something that is kept is damaged in them. */
  damaged: number[];
  /** Bytes that the store got smaller by; with `dryRun`, that it would. */
  freed: number;
  /** Garbage that is still there: in packs not worth copying, or for the next call. */
  left: number;
  /** Why not everything was done that could be; null if it was. */
  stopped: string | null;
}

export interface GcProgress {
  phase: "mark" | "wait" | "copy";
  done: number;
  total: number;
  /** While waiting: processes that have not come to a safe point yet. */
  pids?: number[];
}

export interface GcOptions {
  followers: Followers;
  /** Logs and objects to keep, as of now; by default all that any ref names. Logs under a live lease are always kept. */
  roots?: () => Promise<Roots>;
  dryRun?: boolean;
  /** No pack but the first is begun after this time, in ms. */
  maxMs?: number;
  /** How long to wait for writers, in ms: 10,000. */
  waitMs?: number;
  /** A pack stays if less than this part of it is garbage: 0.25. */
  least?: number;
  /** Collects although what is kept cannot all be known, because of damage. */
  force?: boolean;
  /** Commits and conversations, which follow from the logs, are dropped when they take more bytes than this. */
  derivedLimit?: number;
  onProgress?: (progress: GcProgress) => void;
  signal?: AbortSignal | undefined;
  /** For tests: who lives. */
  lives?: (owner: Owner) => boolean;
}

/** So many packs are condemned at once at most: what writers need of them is stored twice for a while. */
const PACKS = 8;
/** So many logs at once: every writer reads their ids. */
const LOGS = 200;
const LEAST = 0.25;
/** The newest pack, to which all append, is worth it only if it has so much garbage. */
const NEWEST = { part: 0.5, bytes: 1 << 20 };
const DERIVED = 256 << 20;
const WAIT = 10_000;

/**
 * Collects what is not kept. To be called where this process is in the middle of nothing but operations that its writers run in `during`. Throws a
 * sentence if another process collects or forgets at the moment.
 */
export async function gc(store: EmbeddedStore, options: GcOptions): Promise<GcReport> {
  const epoch = await takeGcLease(store);
  try {
    if (!options.dryRun) {
      await finishForget(store, { leased: true });
      sweep(store);
      // What a collection condemned that was killed.
      const state = readGcState(store);
      if (!state || state.packs.length > 0 || state.logs.length > 0) await condemn(store, [], []);
    }
    return await collect(store, options);
  } finally {
    await store.leases.release("gc", epoch);
  }
}

async function collect(store: EmbeddedStore, options: GcOptions): Promise<GcReport> {
  const { signal, onProgress, dryRun, maxMs = Number.POSITIVE_INFINITY, least = LEAST } = options;
  const started = performance.now();
  const marking = startMarking(store, options.followers, {
    signal,
    onLog: (done, total) => onProgress?.({ phase: "mark", done, total }),
  });
  const report: GcReport = {
    logs: { kept: 0, removed: [] },
    packs: [],
    removed: [],
    damaged: [],
    freed: 0,
    left: 0,
    stopped: null,
  };
  const candidates = new Set(await store.logs.list());
  const mark = async (): Promise<void> => {
    const roots = await (options.roots ?? (() => refRoots(store)))();
    // A log that was made meanwhile may have no name yet; and what goes must go with its objects, in the next collection.
    const young = (await store.logs.list()).filter((log) => !candidates.has(log));
    await marking.add({ ...roots, logs: [...roots.logs, ...young, ...(await leased(store))] });
    report.logs.kept = marking.kept.size;
    report.stopped = options.force ? null : whyNot(marking);
  };
  await mark();

  let last = 0;
  for (let round = 0; ; round++) {
    report.packs = await measure(store, marking, signal);
    report.left = sum(report.packs.map(({ garbage }) => garbage));
    const logs = [...candidates].filter((log) => !marking.kept.has(log));
    // Not what was made meanwhile: a writer could go on for ever to write what no frame names yet.
    last ||= newestOf(report.packs);
    const packs = worthwhile(report, least, options.least !== undefined).filter(({ number }) => number <= last);
    if (report.stopped || (logs.length === 0 && packs.length === 0)) break;
    if (dryRun) {
      report.logs.removed = logs;
      report.removed = packs;
      report.freed = sum([...logs.map((log) => logSize(store, log)), ...packs.map(({ garbage }) => garbage)]);
      return report;
    }
    if (round > 0 && performance.now() - started > maxMs) {
      report.stopped = "The time is over and there is more to collect: run `shepherd gc` again.";
      break;
    }
    // Objects never before the logs that name them.
    const batch = { packs: logs.length > LOGS ? [] : packs.slice(0, PACKS), logs: logs.slice(0, LOGS) };
    const numbers = batch.packs.map(({ number }) => number);
    // Numbers of packs are never used twice, so the newest one can only go when there is a newer one.
    if (numbers.some((number) => number === newestOf(report.packs))) await makePack(store);
    try {
      const generation = await condemn(store, numbers, batch.logs);
      report.stopped = await acknowledged(store, generation, options);
      if (report.stopped) break;
      await mark();
      if (report.stopped) break;
      for (const log of batch.logs) {
        if (marking.kept.has(log)) continue;
        report.freed += logSize(store, log);
        store.logs.remove(log);
        candidates.delete(log);
        report.logs.removed.push(log);
      }
      for (const [done, figures] of batch.packs.entries()) {
        if (done > 0 && performance.now() - started > maxMs) break;
        onProgress?.({ phase: "copy", done, total: batch.packs.length });
        const copied = await salvage(store, figures.number, new Set(numbers), marking, signal);
        if (copied === null) report.damaged.push(figures.number);
        else {
          removePack(store, figures.number);
          report.removed.push(figures);
          report.freed += figures.bytes - copied;
        }
      }
    } finally {
      await condemn(store, [], []);
    }
  }
  if (!dryRun) report.freed += dropDerived(store, options.derivedLimit ?? DERIVED);
  return report;
}

/** Synced at return; gives the generation. */
async function condemn(store: EmbeddedStore, packs: number[], logs: string[]): Promise<number> {
  const before = readGcState(store);
  const generation = Math.max(before?.generation ?? 0, ...listWriters(store).map((writer) => writer.generation)) + 1;
  const epoch = packs.length > 0 || !before ? generation : before.epoch;
  await publishGcState(store, { generation, epoch, packs, logs });
  store.objects.condemn(new Set(packs));
  return generation;
}

/** Waits for the writers; gives the sentence that says who did not come. */
async function acknowledged(store: EmbeddedStore, generation: number, options: GcOptions): Promise<string | null> {
  const { waitMs = WAIT, lives = alive, onProgress, signal } = options;
  const until = performance.now() + waitMs;
  for (let pause = 5; ; pause = Math.min(200, pause * 2)) {
    await safepointHere(store);
    const late = lagging(store, generation, lives);
    if (late.length === 0) return null;
    const pids = late.map(({ owner }) => owner?.pid ?? -1);
    onProgress?.({ phase: "wait", done: 0, total: late.length, pids });
    if (performance.now() > until) {
      const unreadable = late.find(({ owner }) => !owner);
      if (unreadable)
        return `${unreadable.file} cannot be read: remove it if no Shepherd works on this store, and run \`shepherd gc\` again.`;
      return `Process ${pids.join(", ")} is in the middle of an operation in this store: run \`shepherd gc\` again when it is done, or end it.`;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    signal?.throwIfAborted();
  }
}

/** Why what is kept cannot be known for certain. */
function whyNot(marking: Marking): string | null {
  for (const log of marking.broken)
    return `The log ${log} is damaged, so what it needs is not known: run \`shepherd fsck\`, or \`shepherd gc --force\` to collect what nothing else needs.`;
  for (const [link, { what }] of marking.troubles)
    if (!link.startsWith("blob:") && what !== "malformed")
      return `The object ${link} is ${what}, so what it needs is not known: run \`shepherd fsck\`, or \`shepherd gc --force\` to collect what nothing else needs.`;
  return null;
}

/** Logs that a live process writes. */
async function leased(store: EmbeddedStore): Promise<string[]> {
  const held: string[] = [];
  for (const log of await store.logs.list()) if (await store.leases.holder(`log/${log}`)) held.push(log);
  return held;
}

async function measure(store: EmbeddedStore, marking: Marking, signal?: AbortSignal): Promise<PackFigures[]> {
  const rest = breather(signal);
  const all: PackFigures[] = [];
  store.objects.refresh();
  for (const pack of store.objects.packs()) {
    const figures: PackFigures = { number: pack.number, bytes: 0, objects: 0, kept: 0, garbage: 0 };
    const counted = new Set<number>();
    for (const [id, place] of pack.entries()) {
      await rest();
      if (!marking.reach.seen.hasId(id) || counted.has(place.offset)) continue;
      counted.add(place.offset);
      figures.objects++;
      figures.kept += RECORD_HEAD + place.length;
    }
    figures.bytes = pack.segment.size();
    figures.garbage = Math.max(0, figures.bytes - figures.kept - pack.segment.start);
    all.push(figures);
  }
  return all.sort((a, b) => a.number - b.number);
}

/** Packs to be emptied, those first of which least is to be copied. */
function worthwhile({ packs, damaged }: GcReport, least: number, asked: boolean): PackFigures[] {
  const newest = newestOf(packs);
  return packs
    .filter(({ number, bytes, kept, garbage }) => {
      if (damaged.includes(number)) return false;
      if (number !== newest) return kept === 0 || (garbage > 0 && garbage >= least * bytes);
      if (asked) return garbage > 0 && garbage >= least * bytes;
      return garbage >= NEWEST.bytes && garbage >= Math.max(NEWEST.part, least) * bytes;
    })
    .sort((a, b) => a.kept - b.kept || a.number - b.number);
}

const newestOf = (packs: readonly PackFigures[]): number => Math.max(0, ...packs.map(({ number }) => number));

/** Drops the cache of what follows from the logs, where it is large: all but the pack that is written to. */
function dropDerived(store: EmbeddedStore, limit: number): number {
  store.derived.refresh();
  const packs = store.derived.packs().sort((a, b) => a.number - b.number);
  const sizes = packs.map((pack) => pack.segment.size());
  if (sum(sizes) <= limit) return 0;
  const old = packs.slice(0, -1);
  for (const pack of old) removePack(store, pack.number, "derived");
  return sum(sizes.slice(0, -1));
}

const logSize = ({ disk, directory }: EmbeddedStore, log: string): number => {
  const file = disk.open(logPath(directory, log));
  try {
    return file?.size() ?? 0;
  } finally {
    file?.close();
  }
};

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
