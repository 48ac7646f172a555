/** How much disk a store may take, and refusing new work before there is none left. */
import * as fs from "node:fs";
import { decodeJson, encodeJson } from "./bytes.ts";
import type { EmbeddedStore } from "./store.ts";
import { inWords, usageBelow } from "./usage.ts";

export interface Quota {
  /** Bytes that the store takes, with its caches and work directories. */
  used: number;
  /** Bytes that it may take; Infinity if there is no limit. */
  limit: number;
  /** Bytes free on its disk for this user. */
  free: number;
  /** Bytes that must stay free. */
  floor: number;
  /** `warn` from 80 % of the limit on, or near the floor; `full` where new work is refused. */
  state: "ok" | "warn" | "full";
}

export interface QuotaOptions {
  /** What the user's configuration says; the variable SHEPHERD_QUOTA comes first. */
  configured?: string | undefined;
  env?: { [name: string]: string | undefined };
  /** For tests: bytes of the disk. */
  disk?: { free: number; total: number };
}

/** Thrown where new work is refused. */
export class StoreFull extends Error {}

/** Thrown for words that are no size. */
export class SizeError extends Error {}

const GB = 1e9;
const MOST = 20 * GB;
const WARN = 0.8;
/** What is below a work directory is looked through again after this time, in ms. */
const FRESH = 600_000;
/** No directory is begun after this time in one call, in ms. */
const BRIEF = 100;

/** Where a store stands. Takes a stat for each of its files; what lies in deeper directories is remembered for some minutes. */
export async function checkQuota(
  store: Pick<EmbeddedStore, "disk" | "directory">,
  options: QuotaOptions = {},
): Promise<Quota> {
  const used = await usedBy(store);
  const { free, total } = options.disk ?? diskOf(store.directory);
  const { SHEPHERD_QUOTA } = options.env ?? process.env;
  const given = SHEPHERD_QUOTA ?? options.configured;
  // A tenth of what would be free without the store, so that the limit does not shrink as the store grows.
  const limit =
    given === undefined || given === ""
      ? Math.min(MOST, Math.floor((free + used) / 10))
      : parseSize(given, SHEPHERD_QUOTA && "SHEPHERD_QUOTA=");
  const floor = Math.max(0.2 * GB, Math.min(0.02 * total, 2 * GB));
  const state = used >= limit || free < floor ? "full" : used >= WARN * limit || free < 2 * floor ? "warn" : "ok";
  return { used, limit, free, floor, state };
}

/** As `checkQuota`; throws `StoreFull` with a sentence that says what to type if there is no room for new work. */
export async function requireRoom(
  store: Pick<EmbeddedStore, "disk" | "directory">,
  options: QuotaOptions = {},
): Promise<Quota> {
  const quota = await checkQuota(store, options);
  if (quota.state === "full") throw new StoreFull(explainQuota(quota));
  return quota;
}

/** The sentence for a store that is full or nearly so. */
export function explainQuota({ used, limit, free, floor }: Quota): string {
  const help = "`shepherd gc` frees what nothing needs, `shepherd du` shows what takes it";
  // A disk that is full makes the limit small, and not the other way round.
  if (free < floor || (free < 2 * floor && used < limit))
    return `The disk has ${inWords(free)} left, and Shepherd starts nothing new below ${inWords(floor)}: make room on it; ${help}.`;
  return `The store takes ${inWords(used)} of the ${inWords(limit)} that it may: ${help}, and SHEPHERD_QUOTA=${inWords(2 * Math.max(limit, used)).replace(" ", "")} allows more.`;
}

/** Bytes from `20GB`, `512 MiB`, `1.5T`, `1000000`, or Infinity from `none`. Throws a sentence, with `named` before the text, on anything else. */
export function parseSize(text: string, named = ""): number {
  if (/^(none|unlimited|infinity)$/i.test(text.trim())) return Number.POSITIVE_INFINITY;
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])(i)?)?b?$/i.exec(text.trim());
  if (!match) throw new SizeError(`${named}${JSON.stringify(text)} is no size: write it like 20GB, 512MiB or none.`);
  const power = match[2] ? "kmgt".indexOf(match[2].toLowerCase()) + 1 : 0;
  return Math.floor(Number(match[1]) * (match[3] ? 1024 : 1000) ** power);
}

function diskOf(directory: string): { free: number; total: number } {
  const { bavail, blocks, bsize } = fs.statfsSync(directory);
  return { free: bavail * bsize, total: blocks * bsize };
}

/** A file in which a deeper directory says itself how many bytes it takes, so that nobody has to look through it. */
export const USAGE = "usage";

function toldBy(bytes: Buffer | null): number | null {
  const text = bytes?.toString("latin1") ?? "";
  return /^\d{1,15}\n$/.test(text) ? Number(text) : null;
}

interface Row {
  bytes: number;
  /** When it was measured, ms since the epoch. */
  at: number;
}

/** Files directly in the store and in its flat directories by a stat each; all others as remembered, the oldest measured anew while there is time. */
async function usedBy(store: Pick<EmbeddedStore, "disk" | "directory">): Promise<number> {
  const { disk, directory } = store;
  const began = Date.now();
  let used = 0;
  const deep: string[] = [];
  const list = (at: string, levels: number): void => {
    for (const name of disk.list(`${directory}/${at}`)) {
      const path = at ? `${at}/${name}` : name;
      const stat = fs.lstatSync(`${directory}/${path}`, { throwIfNoEntry: false });
      if (!stat) continue;
      if (!stat.isDirectory()) used += stat.blocks * 512;
      else if (levels > 0) list(path, levels - 1);
      else deep.push(path);
    }
  };
  list("", 2);
  const memory = `${directory}/cache/usage.json`;
  const rows = recall(disk.read(memory));
  const kept = new Map<string, Row>();
  let changed = false;
  for (const path of deep.sort((a, b) => (rows.get(a)?.at ?? 0) - (rows.get(b)?.at ?? 0))) {
    const said = toldBy(disk.read(`${directory}/${path}/${USAGE}`));
    if (said !== null) {
      used += said;
      continue;
    }
    let row = rows.get(path);
    const now = Date.now();
    if (!row || now - row.at > FRESH || row.at > now) {
      if (now - began < BRIEF) {
        row = { bytes: usageBelow(`${directory}/${path}`).bytes, at: now };
        changed = true;
      }
    }
    if (!row) continue;
    kept.set(path, row);
    used += row.bytes;
  }
  if (changed) {
    disk.mkdir(`${directory}/cache`);
    // Without it the next call measures again.
    await disk.create(memory, encodeJson({ v: 1, rows: Object.fromEntries(kept) }), { replace: true }).catch(() => {});
  }
  return used;
}

function recall(bytes: Buffer | null): Map<string, Row> {
  const rows = new Map<string, Row>();
  try {
    const value = bytes && (decodeJson(bytes) as { v?: unknown; rows?: { [path: string]: Row } });
    if (value?.v !== 1) return rows;
    for (const [path, row] of Object.entries(value.rows ?? {}))
      if (Number.isFinite(row.bytes) && row.bytes >= 0 && Number.isFinite(row.at))
        rows.set(path, { bytes: row.bytes, at: row.at });
  } catch {
    // A cache: as if there was none.
  }
  return rows;
}
