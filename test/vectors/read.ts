/** What our reader finds in a store, in the shape of `expected.json`. */
import { createHash } from "node:crypto";
import { canonical, sha256, target } from "../../src/trace/bytes.ts";
import { frameHash } from "../../src/trace/chain.ts";
import { Forgotten } from "../../src/trace/objects.ts";
import type { Hash, Json, Link } from "../../src/trace/ports.ts";
import { startFold } from "../../src/trace/seal.ts";
import type { EmbeddedStore } from "../../src/trace/store.ts";
import { readContent } from "../../src/world/content.ts";
import { type Mtimes, readMtimes } from "../../src/world/mtimes.ts";
import { readTree } from "../../src/world/tree.ts";

export async function readVectors(store: EmbeddedStore): Promise<Json> {
  const made = new Set<Hash>();
  const logs: { [log: string]: Json } = {};
  const trees: { [link: string]: Json } = {};
  for (const log of await store.logs.list()) {
    const header = (await store.logs.header(log))!;
    const fold = startFold(header, (bytes) => made.add(sha256(bytes)));
    let frames = 0;
    let last = "";
    for await (const frame of store.logs.read(log)) {
      frames++;
      last = frameHash(frame);
      fold.push(frame, last);
    }
    const commits: Json[] = [];
    for (const { n, sealed } of fold.sealed) {
      const { id, parents, seq, top, state, carry } = sealed!;
      commits.push({ n, id, parents, seq, top, state: sha256(canonical(state)), carry: { ...carry } });
      trees[state.roots.workspace] ??= shortened(await listTree(store, target(state.roots.workspace), carry.mtimes));
    }
    const { stray } = await store.logs.inspect(log);
    logs[log] = { frames, last, ignored: stray.length, commits, open: fold.pending().map(({ n }) => n) };
  }
  const objects: Hash[] = [];
  const forgotten: Hash[] = [];
  for (const pack of store.objects.packs())
    for (const [id] of pack.entries()) ((await isForgotten(store, id)) ? forgotten : objects).push(id);
  const refs: { [name: string]: string } = {};
  for (const { name, value } of await store.refs.list("")) refs[name] = value;
  return {
    objects: objects.sort(),
    forgotten: forgotten.sort(),
    derived: [...made].sort(),
    refs,
    logs,
    trees,
  };
}

async function isForgotten(store: EmbeddedStore, id: Hash): Promise<boolean> {
  try {
    if (!(await store.objects.get(id))) throw new Error(`${id} cannot be read.`);
    return false;
  } catch (error) {
    if (error instanceof Forgotten) return true;
    throw error;
  }
}

/** The first lines of a list, and the hash of all of it. */
const shortened = (lines: string[]): string[] => [...lines.slice(0, 16), `${lines.length} ${sha256(lines.join("\n"))}`];

/** Each entry as `type mode mtime size hash-of-content name`, names in hex; `-` where there is none or it was forgotten. */
async function listTree(store: EmbeddedStore, id: Hash, times: Link | undefined, path = ""): Promise<string[]> {
  const { mode, entries } = await readTree(store.objects, id);
  const known: Mtimes | null = times ? await readMtimes(store.objects, target(times)) : null;
  const lines = [`d ${mode.toString(8)} ${known ? known.own : "-"} - - ${path}`];
  for (const entry of entries) {
    const name = `${path}${path && "/"}${entry.name.toString("hex")}`;
    const time = known?.entries.find((each) => each.name.equals(entry.name));
    if (entry.type === "d") {
      lines.push(...(await listTree(store, entry.id, time?.type === "d" ? `mtimes:${time.id}` : undefined, name)));
      continue;
    }
    let size = 0;
    const hash = createHash("sha256");
    let content = "-";
    try {
      for await (const bytes of readContent(store.objects, entry.type, entry.id)) {
        hash.update(bytes);
        size += bytes.length;
      }
      content = `${size} ${hash.digest("hex")}`;
    } catch (error) {
      if (!(error instanceof Forgotten)) throw error;
      content = "- -";
    }
    lines.push(`${entry.type} ${entry.mode.toString(8)} ${time?.type === "f" ? time.ns : "-"} ${content} ${name}`);
  }
  return lines;
}
