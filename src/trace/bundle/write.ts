/** Writes an exported run: what its scopes are called, all objects that they need, and their logs. The same content gives the same bytes. */
import { encodeJson, linksIn, parseLink } from "../bytes.ts";
import { encodeFrame } from "../chain.ts";
import type { Frame } from "../frame.ts";
import { Forgotten } from "../objects.ts";
import type { Hash, Link, LinkKind } from "../ports.ts";
import { breather, type Followers, packShelf, startReach, type Trouble } from "../reach.ts";
import type { EmbeddedStore } from "../store.ts";
import type { Closure } from "./closure.ts";
import { startBundle } from "./format.ts";
import { bitOf } from "./kinds.ts";

/** A scope by its name. The first of a file is the run that it is about. */
export interface NamedLog {
  name: string;
  log: string;
}

export interface Exported {
  digest: Hash;
  /** Size of the file. */
  bytes: number;
  objects: number;
  /** Objects that are named and were destroyed on request. */
  forgotten: number;
  frames: number;
}

export interface ExportOptions {
  followers: Followers;
  /** Takes the next bytes of the file. */
  write: (bytes: Uint8Array) => void;
  /** Is shown each object that comes along, as it is written. */
  onObject?: (id: Hash, kinds: number, bytes: Uint8Array) => void;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal | undefined;
}

/** Throws a sentence if something that the run needs is lost. */
export async function writeBundle(
  store: EmbeddedStore,
  scopes: readonly NamedLog[],
  { logs, stretches, edges }: Closure,
  options: ExportOptions,
): Promise<Exported> {
  const rest = breather(options.signal);
  const needed = await neededBy(store, { logs, edges }, options);
  const bundle = startBundle(options.write);
  bundle.add("head", encodeJson({ v: 1, type: "run", scopes: scopes.length, logs: logs.length }));
  for (const { name, log } of scopes) bundle.add("scope", encodeJson({ v: 1, name, log }));
  for (const bytes of edges.values()) bundle.add("edge", bytes);
  const forgotten: Hash[] = [];
  let objects = 0;
  for (const [id, kinds] of needed) {
    await rest();
    options.onProgress?.(objects, needed.size);
    const bytes = await readOne(store, id);
    if (bytes === "forgotten") forgotten.push(id);
    else {
      objects++;
      options.onObject?.(id, kinds, bytes);
      bundle.add("object", Buffer.concat([Buffer.of(kinds), bytes]));
    }
  }
  for (const id of forgotten) bundle.add("forgotten", Buffer.from(id, "hex"));
  let count = 0;
  const begun = new Map<string, number>();
  for (const { part, from, to } of stretches) {
    const { header, frames } = part;
    let index = begun.get(header.id);
    if (index === undefined) {
      index = begun.size;
      begun.set(header.id, index);
      bundle.add("log", encodeJson({ v: 1, frames, header }));
    }
    const number = Buffer.alloc(4);
    number.writeUInt32LE(index);
    for await (const frame of framesOf(store, header.id, from, to)) {
      await rest();
      bundle.add("frame", Buffer.concat([number, encodeFrame(frame)]));
      count++;
    }
  }
  bundle.add("tail", encodeJson({ v: 1, objects, forgotten: forgotten.length, frames: count }));
  return { ...bundle.end(), objects, forgotten: forgotten.length, frames: count };
}

async function* framesOf(store: EmbeddedStore, log: string, from: number, to: number): AsyncGenerator<Frame> {
  if (from >= to) return;
  for await (const frame of store.logs.read(log, from)) {
    yield frame;
    if (frame.seq + 1 === to) return;
  }
}

async function readOne(store: EmbeddedStore, id: Hash): Promise<Uint8Array | "forgotten"> {
  try {
    const bytes = await store.objects.get(id);
    if (bytes) return bytes;
  } catch (error) {
    if (error instanceof Forgotten) return "forgotten";
    throw error;
  }
  throw new Error(`The object ${id} is not in this store, or damaged: run \`shepherd fsck\`.`);
}

/** All objects that logs and edges need, with the kinds that they are named as, in the order in which they are come upon. */
async function neededBy(
  store: EmbeddedStore,
  { logs, edges }: Pick<Closure, "logs" | "edges">,
  { followers, signal }: ExportOptions,
): Promise<Map<Hash, number>> {
  const needed = new Map<Hash, number>();
  store.objects.refresh();
  const shelf = packShelf(store.objects);
  const wrong: Trouble[] = [];
  const reach = startReach(
    {
      read: shelf.read,
      holds: (id: Hash, kind: LinkKind) => {
        // Nodes of conversations follow from the logs.
        if (kind === "items" || !shelf.holds(id, kind)) return false;
        needed.set(id, (needed.get(id) ?? 0) | bitOf(kind));
        return true;
      },
    },
    followers,
    {
      signal,
      onTrouble: (trouble) => {
        if (parseLink(trouble.link)!.kind !== "items" && trouble.what !== "forgotten") wrong.push(trouble);
      },
    },
  );
  const follow = async (links: Iterable<Link>): Promise<void> => {
    await reach.follow(links);
    for (const { link, what } of wrong)
      throw new Error(`The object ${link}, which the run needs, is ${what}: run \`shepherd fsck\`.`);
  };
  for (const bytes of edges.values()) await follow(followers.json(bytes));
  for (const { header, frames } of logs) {
    await follow(linksIn(header));
    for await (const frame of framesOf(store, header.id, 0, frames)) await follow(linksIn(frame));
  }
  return needed;
}
