/**
 * Which logs came out of a file. Such a log stays as it came: nobody here writes into it but an import of more of it. Its ref `import/LOG` is there
 * before it is, so that none is ever taken for a run of this store.
 */
import { decodeJson } from "../bytes.ts";
import type { Hash, Json, Link } from "../ports.ts";
import type { EmbeddedStore } from "../store.ts";

export interface Imported {
  /** ms since the epoch, of the first import. */
  at: number;
  /** What the file was called, and its hash. */
  file: string;
  digest: Hash;
  /** The directory that it belongs to here, as a blob. What its header says of one is true elsewhere. */
  workspace: Link;
}

const nameOf = (log: string): string => `import/${log}`;
/** So long a log may take from its ref to itself, in ms. */
const STALE = 24 * 3600 * 1000;

/** How a log came here; null for one that was made here. */
export async function importOf(store: Pick<EmbeddedStore, "refs">, log: string): Promise<Imported | null> {
  const ref = await store.refs.get(nameOf(log));
  return ref && parse(ref.value);
}

/** Synced at return; what is known of an earlier import stays. */
export async function markImported(
  store: Pick<EmbeddedStore, "refs">,
  log: string,
  { at, file, digest, workspace }: Imported,
): Promise<void> {
  while (!(await store.refs.get(nameOf(log))))
    await store.refs.cas(nameOf(log), 0, JSON.stringify({ v: 1, at, file, digest, workspace }));
}

/** Removes what is known of imported logs that are gone. */
export async function dropImported(store: EmbeddedStore, now: number): Promise<void> {
  const logs = new Set(await store.logs.list());
  for (const { name, value, version } of await store.refs.list("import/"))
    if (!logs.has(name.slice("import/".length)) && now - parse(value).at > STALE)
      await store.refs.cas(name, version, null);
}

/** One that cannot be read still says that its log was not made here. */
function parse(value: string): Imported {
  let found: { [key: string]: Json } = {};
  try {
    found = decodeJson(Buffer.from(value)) as typeof found;
  } catch {
    // as unknown
  }
  const { at, file, digest, workspace } = found;
  return {
    at: typeof at === "number" ? at : 0,
    file: typeof file === "string" ? file : "",
    digest: typeof digest === "string" ? digest : "",
    workspace: (typeof workspace === "string" ? workspace : "") as Link,
  };
}
