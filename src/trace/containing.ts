/** Searches what the store holds for some bytes: a secret that is to be forgotten. */
import { parseLink } from "./bytes.ts";
import { pieces } from "./examine.ts";
import { unpack } from "./pack.ts";
import { KEY } from "./packindex.ts";
import type { Hash, Link, Objects } from "./ports.ts";
import { breather, type Followers } from "./reach.ts";
import type { EmbeddedStore } from "./store.ts";

export interface SearchOptions {
  /** What names the chunks of a list of them. Without it, what lies across the border of two chunks is not found. */
  followers?: Pick<Followers, "chunks">;
  onProgress?: (progress: { done: number; total: number }) => void;
  signal?: AbortSignal | undefined;
}

/**
 * The objects that contain any of `needles`, each once: those with all of it in them, then neighbouring chunks of a list across whose border it lies. Reads every pack.
 * Finds the bytes as they are: who wants them escaped, encoded or compressed too, gives these forms as further needles.
 */
export async function* findContaining(
  store: EmbeddedStore,
  needles: Buffer | readonly Buffer[],
  options: SearchOptions = {},
): AsyncGenerator<Hash> {
  const wanted = (Buffer.isBuffer(needles) ? [needles] : [...needles]).filter((needle) => needle.length > 0);
  if (wanted.length === 0) throw new Error("There is nothing to search for: give at least one byte.");
  const found = new Set<Hash>();
  const lists: Link[][] = [];
  for await (const [id, bytes] of everyObject(store, options)) {
    if (!found.has(id) && wanted.some((needle) => bytes.includes(needle))) {
      found.add(id);
      yield id;
    }
    const chunks = options.followers && chunksIn(bytes, options.followers);
    if (chunks) lists.push(chunks);
  }
  for await (const id of acrossBorders(store.objects, lists, wanted, options.signal)) {
    if (found.has(id)) continue;
    found.add(id);
    yield id;
  }
}

/** Every intact object of every pack, also those that lie there twice. */
async function* everyObject(
  store: EmbeddedStore,
  { onProgress, signal }: SearchOptions,
): AsyncGenerator<[Hash, Buffer]> {
  const rest = breather(signal);
  let before = 0;
  for (const name of store.disk.list(`${store.directory}/objects`)) {
    const file = name.endsWith(".pack") ? store.disk.open(`${store.directory}/objects/${name}`) : null;
    if (!file) continue;
    try {
      for (const piece of pieces(file, 0)) {
        await rest();
        onProgress?.({ done: before + piece.offset, total: before + file.size() });
        if (piece.what !== "record" || piece.payload.length <= KEY) continue;
        const id = piece.payload.toString("hex", 0, KEY);
        const bytes = unpack(piece.payload, id);
        if (bytes && bytes !== "forgotten") yield [id, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)];
      }
      before += file.size();
    } finally {
      file.close();
    }
  }
}

/** The chunks that an object lists, if it is such a list: here a guess does no harm, since a wrong one finds nothing that is not there. */
function chunksIn(bytes: Uint8Array, followers: Pick<Followers, "chunks">): Link[] | null {
  try {
    return [...followers.chunks(bytes)];
  } catch {
    return null;
  }
}

/** Chunks that are neighbours in some list, and have a needle across their border. */
async function* acrossBorders(
  objects: Objects,
  lists: readonly Link[][],
  needles: readonly Buffer[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Hash> {
  const rest = breather(signal);
  const longest = Math.max(...needles.map(({ length }) => length));
  const read = async (id: Hash): Promise<Uint8Array> => (await objects.get(id).catch(() => null)) ?? new Uint8Array(0);
  // Versions of a large file have most of their neighbours in common.
  const done = new Set<string>();
  for (const list of lists) {
    for (let i = 1; i < list.length; i++) {
      const left = parseLink(list[i - 1]!)!.id;
      const right = parseLink(list[i]!)!.id;
      if (done.has(left + right)) continue;
      done.add(left + right);
      await rest();
      const end = (await read(left)).subarray(-(longest - 1) || Number.MAX_SAFE_INTEGER);
      const border = Buffer.concat([end, (await read(right)).subarray(0, longest - 1)]);
      const across = needles.some((needle) => {
        for (let hit = border.indexOf(needle); hit >= 0; hit = border.indexOf(needle, hit + 1))
          if (hit < end.length && hit + needle.length > end.length) return true;
        return false;
      });
      if (!across) continue;
      yield left;
      yield right;
    }
  }
}
