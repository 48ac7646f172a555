/** Makes images of directories and archives: unpacks them beside the store's caches, and captures what came of it. */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import { sha256 } from "../trace/bytes.ts";
import { alive, isOwner, thisOwner } from "../trace/owner.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { storeGeneration } from "../trace/writers.ts";
import { type Capture, capture } from "../world/capture.ts";
import { bytesOf } from "../world/dirs.ts";
import { discard } from "../world/remove.ts";
import { keepCache, knownIn, loadCache } from "../world/statfile.ts";
import { type Allowance, readArchive } from "../world/unpack/archive.ts";
import { startUnpacking } from "../world/unpack/layer.ts";
import { type Config, kindOf, unpackImage } from "../world/unpack/oci.ts";
import type { Skipped } from "../world/walk.ts";
import { MOUNTED } from "./exec/view.ts";
import { carriesOwners, ImageError, rootOf } from "./image.ts";
import type { RootGrant } from "./registry.ts";

export interface ImportOptions {
  /** What may come out of its archives, in bytes. */
  most: number;
  /** Which image, where there are several. */
  tag?: string | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((text: string) => void) | undefined;
}

export interface Imported {
  root: RootGrant;
  files: number;
  /** Devices, pipes and sockets, and what cannot be read. */
  leftOut: number;
  digest: string | null;
}

/** Captures what lies at `source`: a root file system, an image's layout, or an archive of either. It is only read. */
export async function importImage(store: EmbeddedStore, source: string, options: ImportOptions): Promise<Imported> {
  const stat = fs.statSync(source, { throwIfNoEntry: false });
  if (!stat) throw new ImageError(`${source} is not there: name a directory, or an archive.`);
  if (!stat.isDirectory() && !stat.isFile()) throw new ImageError(`${source} is neither a directory nor an archive.`);
  return inRoom(store, async (room) => {
    const allowance: Allowance = { bytes: options.most, disk: room, signal: options.signal };
    let [directory, leftOut] = [source, 0];
    if (stat.isFile()) {
      directory = join(room, "archive");
      options.onProgress?.(`unpacking ${basename(source)}`);
      leftOut += await unpackFile(source, directory, allowance);
      options.signal?.throwIfAborted();
    }
    const kind = kindOf(directory);
    let config: Config | null = null;
    if (kind !== "rootfs") {
      const root = join(room, "root");
      fs.mkdirSync(root, { mode: 0o755 });
      options.onProgress?.(`unpacking the layers of ${basename(source)}`);
      const made = await unpackImage(directory, kind, root, options.tag, allowance);
      leftOut += made.unpacked.leftOut;
      config = made.config;
      directory = root;
    } else if (options.tag !== undefined)
      throw new ImageError(`--tag is for a layout with several images, and ${source} is a root file system.`);
    options.signal?.throwIfAborted();
    const captured = await captureOf(store, directory, directory !== source, options);
    leftOut += captured.skipped.filter(isLost).length;
    const { digest = null, env = [], workdir = null } = config ?? {};
    const about = { v: 1 as const, source, ...(digest && { digest }), env, ...(workdir && { workdir }) };
    return { root: await rootOf(store, captured, about), files: captured.stats.files, leftOut, digest };
  });
}

const isLost = ({ why }: Skipped): boolean => why !== "excluded" && why !== "mounted";

async function unpackFile(source: string, into: string, allowance: Allowance): Promise<number> {
  fs.mkdirSync(into, { mode: 0o755 });
  const fd = fs.openSync(source, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    const unpacking = startUnpacking(into);
    await unpacking.add(readArchive(fd, source, allowance).pieces);
    return unpacking.finish().leftOut;
  } finally {
    fs.closeSync(fd);
  }
}

/** @param own whether nobody but us has it */
async function captureOf(store: EmbeddedStore, path: string, own: boolean, options: ImportOptions): Promise<Capture> {
  // Of what the user has, what is known is kept: the next time only what has changed is read.
  const file = `${store.cache("stat")}/image-${sha256(path).slice(0, 16)}`;
  const cache = loadCache(own ? "" : file);
  const known = knownIn(cache);
  const captured = await capture(path, store.objects, {
    cache,
    generation: storeGeneration(store),
    // Of what is covered in each run nothing need be kept.
    exclude: [store.directory, ...MOUNTED.map((each) => join(path, each))].map((each) => Buffer.from(each)),
    own,
    owners: carriesOwners(),
    signal: options.signal,
    onProgress: ({ files }) => options.onProgress?.(`reading ${basename(path)}: ${files} files`),
  });
  if (!own) keepCache(file, cache, known);
  return captured;
}

/** Room that is gone at the end; what killed imports have left goes first. */
async function inRoom<T>(store: EmbeddedStore, work: (room: string) => Promise<T>): Promise<T> {
  const all = store.cache("unpack");
  for (const name of fs.readdirSync(all)) if (!isUsed(join(all, name))) await discard(bytesOf(all), name);
  const name = randomBytes(8).toString("hex");
  const room = join(all, name);
  fs.mkdirSync(room, { mode: 0o700 });
  try {
    fs.writeFileSync(join(room, "owner"), JSON.stringify(thisOwner()));
    return await work(room);
  } finally {
    await discard(bytesOf(all), name);
  }
}

/** So young is one whose owner has not said yet who it is, in ms. */
const YOUNG = 60_000;

function isUsed(room: string): boolean {
  try {
    const owner: unknown = JSON.parse(fs.readFileSync(join(room, "owner"), "utf8"));
    return isOwner(owner as never) && alive(owner as never);
  } catch {
    const stat = fs.statSync(room, { throwIfNoEntry: false });
    return stat !== undefined && Date.now() - stat.mtimeMs < YOUNG;
  }
}
