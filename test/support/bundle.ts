/** Exports and imports of whole logs, as files in memory. */
import { type Closure, closureOf } from "../../src/trace/bundle/closure.ts";
import type { Source } from "../../src/trace/bundle/format.ts";
import { type Plan, planImport, takeIn } from "../../src/trace/bundle/read.ts";
import { type Exported, type NamedLog, writeBundle } from "../../src/trace/bundle/write.ts";
import { link } from "../../src/trace/bytes.ts";
import type { Owner } from "../../src/trace/ports.ts";
import type { EmbeddedStore } from "../../src/trace/store.ts";
import { openWriters } from "../../src/trace/writers.ts";
import { followers } from "./traces.ts";

export const sourceOf = (bytes: Uint8Array): Source => ({
  size: () => bytes.length,
  read: (offset, length) => Buffer.from(bytes.subarray(offset, offset + length)),
});

/** All of these logs; those with one of `kept` ids stay behind, but for the commits that are needed. */
export async function exported(
  store: EmbeddedStore,
  scopes: readonly NamedLog[],
  kept: ReadonlySet<string> = new Set(),
): Promise<{ bytes: Buffer; done: Exported; closure: Closure }> {
  const closure = await closureOf(
    store,
    scopes.map(({ log }) => log),
    ({ id }) => !kept.has(id),
  );
  const chunks: Uint8Array[] = [];
  const done = await writeBundle(store, scopes, closure, { followers, write: (chunk) => void chunks.push(chunk) });
  return { bytes: Buffer.concat(chunks), done, closure };
}

/** Takes a file in, and gives its scopes names. `me`: the process that does. */
export async function imported(store: EmbeddedStore, bytes: Uint8Array, me?: () => Owner): Promise<Plan> {
  const writers = openWriters(store, me);
  await writers.register();
  try {
    const source = sourceOf(bytes);
    const plan = await planImport(store, source, { followers });
    const workspace = link("blob", await store.objects.put(Buffer.from("/here")));
    await takeIn(store, source, plan, { file: "a file", workspace }, { followers });
    for (const { name, log } of plan.scopes) await store.refs.cas(`scope/${name}`, 0, JSON.stringify({ log }));
    return plan;
  } finally {
    await writers.unregister();
  }
}
