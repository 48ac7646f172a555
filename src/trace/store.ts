/** The embedded store: the four ports over append-only files in one directory that only its owner can read. */
import { randomBytes } from "node:crypto";
import { type Disk, realDisk } from "./disk.ts";
import { leasesOver } from "./leases.ts";
import { type FileLogs, openLogs } from "./logs.ts";
import { openObjects, type PackedObjects } from "./objects.ts";
import { thisOwner } from "./owner.ts";
import type { Leases, Owner, Store } from "./ports.ts";
import type { Followers } from "./reach.ts";
import { openRecovery } from "./recover.ts";
import { openRefs, type RefFile } from "./refs.ts";
import { NewerFormat } from "./segment.ts";

const STORE_FORMAT = 1;

export interface EmbeddedStore extends Store {
  readonly disk: Disk;
  readonly directory: string;
  readonly objects: PackedObjects;
  /** Commits and nodes of conversations: all of it follows from the logs and can be deleted at any time. */
  readonly derived: PackedObjects;
  readonly refs: RefFile;
  readonly logs: FileLogs;
  /** Puts a log in order after power loss, if that was not done yet: for who reads its file by other means than `logs`. */
  recover(log: string): Promise<void>;
  /** A place for caches of one kind. */
  cache(kind: string): string;
  /** Syncs what this process wrote into logs. Throws if that fails; everything is closed then too. */
  close(): Promise<void>;
}

export interface OpenOptions {
  disk?: Disk;
  /** For tests: which process this is, and who lives. */
  owner?: () => Owner;
  alive?: (owner: Owner) => boolean;
  /** What file trees name, so that recovery after power loss looks into them. */
  followers?: Partial<Followers>;
}

/** Opens the store in `directory`, and makes it if there is none. Throws a sentence for a newer format. */
export async function openStore(directory: string, options: OpenOptions = {}): Promise<EmbeddedStore> {
  const disk = options.disk ?? realDisk;
  // The store itself may be a link to a directory; nothing in it may.
  disk.mkdir(`${directory}/.`);
  const format = disk.read(`${directory}/format`);
  if (!format) await disk.create(`${directory}/format`, Buffer.from(`shepherd store ${STORE_FORMAT}\n`));
  else checkFormat(format.toString("latin1"), directory);

  const objects = await openObjects(disk, `${directory}/objects`);
  const derived = await openObjects(disk, `${directory}/cache/derived`);
  const refs = await openRefs(disk, directory, "refs");
  const leaseRefs = await openRefs(disk, directory, "leases", false);
  const me = options.owner ?? thisOwner;
  const leases: Leases = leasesOver(leaseRefs, me, options.alive);
  const where = { disk, directory: `${directory}/logs` };
  const recovery = openRecovery({ ...where, objects, refs: leaseRefs, leases, me, followers: options.followers });
  const recover = async (log: string): Promise<void> => {
    await recovery.recover(log);
  };
  const logs = openLogs(disk, where.directory, {
    recover,
    syncObjects: objects.sync,
    synced: recovery.synced,
  });
  return {
    disk,
    directory,
    objects,
    derived,
    refs,
    logs,
    leases,
    recover,
    cache: (kind) => {
      const path = `${directory}/cache/${kind}`;
      disk.mkdir(path);
      return path;
    },
    close: async () => {
      try {
        await logs.close();
      } finally {
        refs.close();
        leaseRefs.close();
        await objects.close();
        await derived.close();
      }
    },
  };
}

function checkFormat(text: string, directory: string): void {
  const match = /^shepherd store (\d{1,9})\n$/.exec(text);
  if (!match) throw new Error(`${directory} is not a store of Shepherd: its file \`format\` says something else.`);
  if (Number(match[1]) > STORE_FORMAT)
    throw new NewerFormat(
      `The store ${directory} has format ${match[1]}, and this Shepherd knows formats up to ${STORE_FORMAT}: update Shepherd to use it.`,
    );
}

export const newLogId = (): string => randomBytes(16).toString("hex");
