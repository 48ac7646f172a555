/**
 * Takes an exported run into a store. First all of it is verified and compared with what is here, and nothing is written. Then objects, then logs,
 * and the names last, which are the caller's. Killed at any point, it leaves objects that a collection takes, and logs without a name, which the
 * next import of the same file goes on with.
 */
import { frameHash, headerHash, parseFrame } from "../chain.ts";
import { noteForgotten } from "../forget.ts";
import type { Frame } from "../frame.ts";
import type { Hash } from "../ports.ts";
import { breather, type Followers } from "../reach.ts";
import { makePack } from "../salvage.ts";
import type { EmbeddedStore } from "../store.ts";
import { tombstone } from "../tombstone.ts";
import { damaged, type ReadOptions, readBundle, type Source } from "./format.ts";
import { type Imported, importOf, markImported } from "./imported.ts";
import { type Verified, verifyBundle } from "./verify.ts";

/** Thrown where a file does not go together with what is in the store. */
export class Clash extends Error {}

export interface Plan extends Verified {
  /** For each log of the file, how many of its frames are here. */
  here: ReadonlyMap<string, number>;
  /** Of each log, the hash of its last frame in the file. */
  ends: ReadonlyMap<string, Hash>;
}

export interface ImportOptions extends ReadOptions {
  followers: Followers;
  signal?: AbortSignal | undefined;
}

/** Verifies a file, and whether it can be taken in. Writes nothing. Throws `BadBundle`, `NewerFormat` or `Clash`. */
export async function planImport(store: EmbeddedStore, source: Source, options: ImportOptions): Promise<Plan> {
  const here = new Map<string, number>();
  const ends = new Map<string, Hash>();
  const known = new Set(await store.logs.list());
  const present = new Map<string, AsyncIterator<Frame>>();
  // Told once it is known that nothing else is wrong.
  const clashes = new Set<string>();
  const verified = await verifyBundle(source, {
    ...options,
    onLog: async (header) => {
      const { id } = header;
      here.set(id, 0);
      if (!known.has(id)) return;
      const own = await store.logs.header(id);
      if (!own || headerHash(own) !== headerHash(header)) clashes.add(id);
      else present.set(id, store.logs.read(id)[Symbol.asyncIterator]());
    },
    onFrame: async ({ id }, frame, hash) => {
      ends.set(id, hash);
      const next = await present.get(id)?.next();
      if (!next || next.done) return;
      if (frameHash(next.value) !== hash) {
        clashes.add(id);
        present.delete(id);
      }
      here.set(id, frame.seq + 1);
    },
  });
  for (const { header, frames } of verified.logs) {
    const isOurs = known.has(header.id) && !(await importOf(store, header.id));
    if (isOurs && here.get(header.id)! < frames) clashes.add(header.id);
  }
  for (const log of clashes) throw clash(log);
  return { ...verified, here, ends };
}

const clash = (log: string): Clash =>
  new Clash(
    `The file has other steps of log ${log} than this store, so one of them is not what it was: nothing was imported.`,
  );

/**
 * Takes in what was planned; its logs are there then, and have no names. Synced at return. To be called while this process is registered as a writer.
 * @param as what the logs are marked with that are not here yet
 */
export async function takeIn(
  store: EmbeddedStore,
  source: Source,
  plan: Plan,
  as: Pick<Imported, "file" | "workspace">,
  options: ImportOptions,
): Promise<void> {
  const epoch = await store.leases.acquire("import");
  if (epoch === null) throw new Clash("Another import into this store is going on: try again when it is done.");
  try {
    await write(store, source, plan, as, options);
  } finally {
    await store.leases.release("import", epoch);
  }
}

async function write(
  store: EmbeddedStore,
  source: Source,
  plan: Plan,
  as: Pick<Imported, "file" | "workspace">,
  options: ImportOptions,
): Promise<void> {
  const rest = breather(options.signal);
  const forgotten: Hash[] = [];
  const logs = logWriter(store, plan, { ...as, at: Date.now(), digest: plan.digest });
  const items = readBundle(source, options);
  let begun = false;
  for (;;) {
    const next = items.next();
    if (next.done) {
      if (next.value !== plan.digest) throw damaged("it was changed while it was read");
      break;
    }
    await rest();
    const { kind, bytes } = next.value;
    if (kind === "edge") await store.objects.put(bytes);
    if (kind === "object") await store.objects.put(bytes.subarray(1));
    if (kind === "forgotten") forgotten.push(bytes.toString("hex"));
    if (kind === "log" && !begun) {
      await putTombstones(store, forgotten);
      await store.objects.sync();
      begun = true;
    }
    if (kind === "log") await logs.begin();
    if (kind === "frame") await logs.take(bytes);
  }
  await logs.end();
}

/** For objects that are not here and were destroyed elsewhere: in a pack of their own, so that none comes behind what somebody else puts. */
async function putTombstones(store: EmbeddedStore, ids: readonly Hash[]): Promise<void> {
  const lacking = ids.filter((id) => !store.objects.locate(id));
  if (lacking.length === 0) return;
  while (
    !(await makePack(
      store,
      lacking.map((id) => tombstone(id)),
    ))
  );
  await noteForgotten(store, lacking, "imported");
}

/** So many frames are written at once. */
const BATCH = 64;

/** Writes logs and frames in the order of the file, so that whatever is there has all that it needs. */
function logWriter(store: EmbeddedStore, { logs, here, ends }: Plan, mark: Imported) {
  let begun = 0;
  let to = "";
  let batch: Frame[] = [];
  const flush = async (): Promise<void> => {
    const [first] = batch;
    if (first && !(await store.logs.append(to, first.seq, first.epoch, batch))) throw clash(to);
    batch = [];
  };
  return {
    begin: async (): Promise<void> => {
      await flush();
      const { header } = logs[begun++]!;
      if (await store.logs.header(header.id)) return;
      await markImported(store, header.id, mark);
      await store.logs.create(header);
    },
    take: async (bytes: Buffer): Promise<void> => {
      const log = logs[bytes.readUInt32LE(0)];
      const frame = parseFrame(bytes.subarray(4), "the file");
      if (!frame || !log) throw damaged("it was changed while it was read");
      const { id } = log.header;
      if (frame.seq < here.get(id)!) return;
      if (id !== to || batch.length >= BATCH || batch[0]?.epoch !== frame.epoch) await flush();
      to = id;
      batch.push(frame);
    },
    end: async (): Promise<void> => {
      await flush();
      for (const { header, frames } of logs) {
        await store.logs.sync(header.id);
        const { prev, seq } = await store.logs.end(header.id);
        // It may have more than the file.
        if (seq < frames || (seq === frames && frames > 0 && prev !== ends.get(header.id))) throw clash(header.id);
      }
    },
  };
}
