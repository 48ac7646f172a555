/**
 * What can be reached over links. Of which kind an object is, is told by the place that names it and by nothing else: the same bytes
 * can be somebody's file here and a tree there, and are followed as what they are named.
 */
import { decodeJson, linksIn } from "./bytes.ts";
import type { PackedObjects } from "./objects.ts";
import type { Pack, Place } from "./pack.ts";
import type { Hash, Link, LinkKind } from "./ports.ts";

/** What the bytes of each kind of object name. Throws a sentence on bytes that are none of that kind. A blob names nothing. */
export type Followers = Record<Exclude<LinkKind, "blob">, (bytes: Uint8Array) => Iterable<Link>>;

/** The kinds that the trace itself knows; those of file trees come from whoever defines these. */
export const traceFollowers: Pick<Followers, "json" | "items"> = {
  json: (bytes) => linksIn(decodeJson(bytes)),
  items: (bytes) => linksIn(decodeJson(bytes)),
};

/** Where objects are looked up. */
export interface Shelf {
  /** Whether there is anything under `id`, intact or not, or a tombstone. Cheap. */
  holds(id: Hash, kind: LinkKind): boolean;
  /** Whether what is there is a tombstone: for who wants to know it of content too, which is not read. */
  isForgotten?(id: Hash): boolean;
  read(id: Hash, kind: LinkKind): Uint8Array | "forgotten" | "damaged" | "missing";
}

/** Why a link could not be followed. */
export interface Trouble {
  link: Link;
  what: "missing" | "damaged" | "forgotten" | "malformed";
  /** The object that names it; null for a link that the walk began with. */
  from: Link | null;
  /** For `malformed`: what is wrong with the bytes. */
  why: string;
}

export interface ReachOptions {
  onTrouble?: (trouble: Trouble) => void;
  /** Called for each link that an object holds, also for those seen before. */
  onEdge?: (from: Link, to: Link) => void;
  signal?: AbortSignal | undefined;
}

export interface Reach {
  /** All that was reached and is there. */
  readonly seen: LinkSet;
  /** Goes on from `links`; what was reached before is not gone through again. */
  follow(links: Iterable<Link>): Promise<void>;
}

/**
 * A walk. Its memory is bounded by the objects that are there, and its time by the links that they hold, whatever they name: depth,
 * cycles and an object named a million times cost nothing more.
 */
export function startReach(shelf: Shelf, followers: Followers, options: ReachOptions = {}): Reach {
  const { onTrouble, onEdge, signal } = options;
  const seen = linkSet();
  const rest = breather(signal);
  return {
    seen,
    follow: async (links) => {
      const stack: Link[] = [];
      const take = (link: Link, from: Link | null): void => {
        if (from && onEdge) onEdge(from, link);
        const { kind, id } = split(link);
        if (seen.has(kind, id)) return;
        if (!shelf.holds(id, kind)) {
          onTrouble?.({ link, what: "missing", from, why: "" });
          return;
        }
        seen.add(kind, id);
        if (kind !== "blob") stack.push(link);
        else if (shelf.isForgotten?.(id)) onTrouble?.({ link, what: "forgotten", from, why: "" });
      };
      for (const link of links) {
        take(link, null);
        for (let at = stack.pop(); at; at = stack.pop()) {
          await rest();
          const { kind, id } = split(at);
          const bytes = shelf.read(id, kind);
          if (typeof bytes === "string") {
            onTrouble?.({ link: at, what: bytes, from: null, why: "" });
            continue;
          }
          try {
            for (const next of followers[kind as Exclude<LinkKind, "blob">](bytes)) take(next, at);
          } catch (error) {
            onTrouble?.({ link: at, what: "malformed", from: null, why: (error as Error).message });
          }
        }
      }
    },
  };
}

/** The parts of what is known to be a link. */
function split(of: Link): { kind: LinkKind; id: Hash } {
  const at = of.indexOf(":");
  return { kind: of.slice(0, at) as LinkKind, id: of.slice(at + 1) };
}

/** Whether everything is there that can be reached from `links`: none missing, damaged or forgotten. */
export async function isWhole(shelf: Shelf, followers: Followers, links: Iterable<Link>): Promise<boolean> {
  let whole = true;
  const reach = startReach(shelf, followers, { onTrouble: () => (whole = false) });
  for (const link of links) {
    await reach.follow([link]);
    if (!whole) return false;
  }
  return true;
}

/** Objects as they lie in packs, of one store or several. Does not look for what others put meanwhile: `refresh` them first. */
export function packShelf(...stores: PackedObjects[]): Shelf {
  // What one object names mostly lies in the pack where the last one lay.
  const order = stores.flatMap((objects) => objects.packs());
  const front = (at: number): void => {
    if (at > 0) order.unshift(order.splice(at, 1)[0]!);
  };
  return {
    holds: (id) => {
      const at = order.findIndex((pack) => pack.find(id));
      front(at);
      return at >= 0;
    },
    read: (id) => {
      let found: "forgotten" | "damaged" | "missing" = "missing";
      for (const [at, pack] of order.entries()) {
        const place = pack.find(id);
        if (!place) continue;
        const bytes = readFrom(pack, place, id);
        if (bytes === "forgotten") found = bytes;
        else if (bytes) {
          front(at);
          return bytes;
        } else if (found === "missing") found = "damaged";
      }
      return found;
    },
  };
}

function readFrom(pack: Pack, place: Place, id: Hash): Uint8Array | "forgotten" | null {
  try {
    return pack.read(place, id);
  } catch {
    // The pack was collected meanwhile, and closed.
    return null;
  }
}

export interface LinkSet {
  readonly size: number;
  add(kind: LinkKind, id: Hash): void;
  has(kind: LinkKind, id: Hash): boolean;
  /** Whether it is there as any kind. */
  hasId(id: Hash): boolean;
}

const BIT: Record<LinkKind, number> = { blob: 1, json: 2, items: 4, tree: 8, mtimes: 16, chunks: 32 };

/** A set of links; about 90 bytes for each id. */
export function linkSet(): LinkSet {
  const masks = new Map<string, number>();
  return {
    get size() {
      return masks.size;
    },
    add: (kind, id) => {
      const key = idKey(id);
      masks.set(key, (masks.get(key) ?? 0) | BIT[kind]);
    },
    has: (kind, id) => ((masks.get(idKey(id)) ?? 0) & BIT[kind]) !== 0,
    hasId: (id) => masks.has(idKey(id)),
  };
}

/** An id as 32 Latin-1 characters: half the memory of hex. */
export const idKey = (id: Hash): string => Buffer.from(id, "hex").toString("latin1");

/** Lets others run every 15 ms of work, and throws if it is to stop. */
export function breather(signal?: AbortSignal): () => Promise<void> | undefined {
  signal?.throwIfAborted();
  let end = performance.now() + 15;
  let calls = 0;
  return () => {
    if (++calls % 16 !== 0 || performance.now() < end) return undefined;
    return new Promise<void>((resolve, reject) =>
      setImmediate(() => {
        end = performance.now() + 15;
        if (signal?.aborted) reject(signal.reason);
        else resolve();
      }),
    );
  };
}
