/** Who uses what of a store. */
import { parseLink } from "./bytes.ts";
import { logPath, recordNames } from "./logfile.ts";
import type { Hash, Link } from "./ports.ts";
import { breather, type Followers, packShelf, startReach } from "./reach.ts";
import { RECORD_HEAD } from "./record.ts";
import type { EmbeddedStore } from "./store.ts";
import { usageBelow } from "./usage.ts";

export interface LogUsage {
  log: string;
  /** Bytes of its file. */
  frames: number;
  /** Bytes in packs that only this log needs, and that others need too; as they are stored. */
  own: number;
  shared: number;
  objects: number;
}

export interface DuReport {
  /** All logs, largest first. */
  logs: LogUsage[];
  /** Bytes in packs that no log needs: mostly for `shepherd gc`, or held by something that no frame names. */
  unreached: number;
  /** Bytes of all packs. */
  packs: number;
  /** What follows from the logs. */
  derived: number;
  /** Caches by kind. */
  caches: { kind: string; bytes: number }[];
  /** Whatever else lies in the store. */
  other: number;
  total: number;
}

export interface DuOptions {
  followers: Followers;
  onProgress?: (progress: { done: number; total: number }) => void;
  signal?: AbortSignal | undefined;
}

/** Reads all logs and everything that they name but for the content of files. */
export async function du(store: EmbeddedStore, options: DuOptions): Promise<DuReport> {
  const { disk, directory } = store;
  store.objects.refresh();
  const graph = makeGraph();
  const reach = startReach(packShelf(store.objects), options.followers, {
    signal: options.signal,
    onEdge: (from, to) => graph.edge(graph.node(from), graph.node(to)),
  });
  const logs = await store.logs.list();
  const roots: number[][] = [];
  for (const [done, log] of logs.entries()) {
    options.onProgress?.({ done, total: logs.length });
    const links = linksOf(store, log);
    await reach.follow(links);
    roots.push([...links].map((link) => graph.node(link)));
  }
  const sizes = sizesOf(store);
  const counted = await measure(graph.finish(), roots, (id) => sizes(id), options.signal);

  const packs = sum(store.objects.packs().map((pack) => pack.segment.size()));
  const bytesIn = (path: string): number => usageBelow(`${directory}/${path}`).bytes;
  const caches = disk
    .list(`${directory}/cache`)
    .filter((kind) => kind !== "derived")
    .map((kind) => ({ kind, bytes: bytesIn(`cache/${kind}`) }));
  const frames = logs.map((log) => sizeOf(store, log));
  const rows = logs.map((log, i): LogUsage => ({ log, frames: frames[i]!, ...counted.logs[i]! }));
  const other = disk
    .list(directory)
    .filter((name) => !["objects", "logs", "cache"].includes(name))
    .map(bytesIn);
  const report: DuReport = {
    logs: rows.sort((a, b) => b.own + b.frames - a.own - a.frames || (a.log < b.log ? -1 : 1)),
    unreached: Math.max(0, packs - counted.reached),
    packs,
    derived: bytesIn("cache/derived"),
    caches,
    other: sum(other),
    total: 0,
  };
  report.total = packs + sum(frames) + report.derived + sum(caches.map(({ bytes }) => bytes)) + report.other;
  return report;
}

/** All that the records of a log name, each once. */
function linksOf({ disk, directory }: EmbeddedStore, log: string): Set<Link> {
  const links = new Set<Link>();
  const file = disk.open(logPath(directory, log));
  if (!file) return links;
  try {
    for (const names of recordNames(file, log)) for (const link of names.links) links.add(link);
  } finally {
    file.close();
  }
  return links;
}

const sizeOf = ({ disk, directory }: EmbeddedStore, log: string): number => {
  const file = disk.open(logPath(directory, log));
  try {
    return file?.size() ?? 0;
  } finally {
    file?.close();
  }
};

/** Bytes of all records of an object. */
function sizesOf(store: EmbeddedStore): (id: Hash) => number {
  const packs = store.objects.packs();
  return (id) => {
    let bytes = 0;
    for (const pack of packs) {
      const place = pack.find(id);
      if (place) bytes += RECORD_HEAD + place.length;
    }
    return bytes;
  };
}

interface Graph {
  /** Of each node, the number of its object: the same for two nodes if the same bytes are named as two kinds. */
  objects: number[];
  ids: Hash[];
  /** The nodes below node `n` are `targets[starts[n]]` to `targets[starts[n + 1]]`. */
  starts: Uint32Array;
  targets: Uint32Array;
}

function makeGraph() {
  const nodes = new Map<string, number>();
  const numbers = new Map<Hash, number>();
  const ids: Hash[] = [];
  const objects: number[] = [];
  let edges = new Uint32Array(1024);
  let length = 0;
  return {
    node: (link: Link): number => {
      let node = nodes.get(link);
      if (node !== undefined) return node;
      node = nodes.size;
      nodes.set(link, node);
      const { id } = parseLink(link)!;
      let number = numbers.get(id);
      if (number === undefined) {
        number = ids.push(id) - 1;
        numbers.set(id, number);
      }
      objects.push(number);
      return node;
    },
    edge: (from: number, to: number): void => {
      if (length + 2 > edges.length) {
        const larger = new Uint32Array(edges.length * 2);
        larger.set(edges);
        edges = larger;
      }
      edges[length++] = from;
      edges[length++] = to;
    },
    finish: (): Graph => {
      const starts = new Uint32Array(nodes.size + 1);
      for (let at = 0; at < length; at += 2) starts[edges[at]! + 1]!++;
      for (let node = 0; node < nodes.size; node++) starts[node + 1]! += starts[node]!;
      const next = starts.slice();
      const targets = new Uint32Array(length / 2);
      for (let at = 0; at < length; at += 2) targets[next[edges[at]!]!++] = edges[at + 1]!;
      return { objects, ids, starts, targets };
    },
  };
}

/** For each log what it reaches, alone and with others. */
async function measure(
  { objects, ids, starts, targets }: Graph,
  roots: readonly number[][],
  sizeOf: (id: Hash) => number,
  signal?: AbortSignal,
): Promise<{ logs: Pick<LogUsage, "own" | "shared" | "objects">[]; reached: number }> {
  const rest = breather(signal);
  const sizes = Float64Array.from(ids, sizeOf);
  // The log that reached it first, and whether another did too.
  const first = new Int32Array(ids.length).fill(-1);
  const many = new Uint8Array(ids.length);
  const lastNode = new Int32Array(objects.length).fill(-1);
  const lastObject = new Int32Array(ids.length).fill(-1);

  const walk = async (log: number, visit: (object: number) => void): Promise<void> => {
    const stack: number[] = [];
    const take = (node: number): void => {
      if (lastNode[node] === log) return;
      lastNode[node] = log;
      stack.push(node);
    };
    for (const node of roots[log]!) take(node);
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      await rest();
      const object = objects[node]!;
      if (lastObject[object] !== log) {
        lastObject[object] = log;
        visit(object);
      }
      for (let at = starts[node]!; at < starts[node + 1]!; at++) take(targets[at]!);
    }
  };
  for (let log = 0; log < roots.length; log++)
    await walk(log, (object) => {
      if (first[object]! >= 0) many[object] = 1;
      else first[object] = log;
    });
  lastNode.fill(-1);
  lastObject.fill(-1);
  const logs = roots.map(() => ({ own: 0, shared: 0, objects: 0 }));
  for (let log = 0; log < roots.length; log++) {
    const usage = logs[log]!;
    await walk(log, (object) => {
      if (sizes[object]! > 0) usage.objects++;
      if (many[object]) usage.shared += sizes[object]!;
      else usage.own += sizes[object]!;
    });
  }
  let reached = 0;
  for (let object = 0; object < ids.length; object++) if (first[object]! >= 0) reached += sizes[object]!;
  return { logs, reached };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
