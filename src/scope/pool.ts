/**
 * Directories of scopes at rest, for scopes that have none yet. To fill a large directory takes far longer than to change it from the files of
 * one run to those of another, and the files of a scope at rest are only a cache: the one they are taken from gets others when it goes on.
 */
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { USAGE } from "../trace/quota.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { listScopes, type ScopeRef } from "./registry.ts";

/** Where the files of a log's scope are while it is driven, and as a cache at rest. */
export const workDirectory = (store: EmbeddedStore, log: string): string => `${store.cache("work")}/${log}`;

/** Stands in a work directory while no process of its scope can reach the files any more. */
const restMark = (base: string): string => `${base}/rest`;

/** Says what a work directory takes, at the end of its use. */
export function sayUsage(base: string, bytes: number): void {
  try {
    writeFileSync(`${base}/${USAGE}`, `${bytes}\n`, { mode: 0o600 });
  } catch {
    // Whoever needs it looks.
  }
}

export const markInUse = (base: string): void => rmSync(restMark(base), { force: true });

export function markAtRest(base: string): void {
  try {
    writeFileSync(restMark(base), "", { mode: 0o600 });
  } catch {
    // A full disk: nobody takes it over, that is all.
  }
}

/** Smaller directories (by the bytes of their stat cache, about 100 a file) are filled at once. */
const WORTH = 256 << 10;

/**
 * Gives a scope that has no directory yet that of another of its workspace, with what is known of it; of several a discarded one's, or the
 * oldest, which is the least likely to be gone on with. The caller holds the lease of the scope, and restores it afterwards.
 */
export async function takeOver(store: EmbeddedStore, ref: ScopeRef, worth = WORTH): Promise<void> {
  const base = workDirectory(store, ref.log);
  if (existsSync(`${base}/ws`)) return;
  const others = (await listScopes(store, ref.workspace))
    .filter(({ log }) => log !== ref.log && isWorth(workDirectory(store, log), worth))
    .sort((a, b) => Number(a.discarded === null) - Number(b.discarded === null) || a.created - b.created);
  for (const { log } of others) {
    const key = `log/${log}`;
    const epoch = await store.leases.acquire(key, (await store.logs.end(log)).epoch);
    if (epoch === null) continue;
    try {
      if (moveFiles(workDirectory(store, log), base)) return;
    } finally {
      await store.leases.release(key, epoch);
    }
  }
}

function isWorth(base: string, worth: number): boolean {
  if (!existsSync(restMark(base))) return false;
  return (statSync(`${base}/ws.stat`, { throwIfNoEntry: false })?.size ?? -1) >= worth;
}

/** Stopped anywhere, one of both has a directory without its stat cache, or a stat cache without its directory: neither is believed. */
function moveFiles(from: string, to: string): boolean {
  // Somebody may have driven it, or taken it, since it was looked at.
  if (!existsSync(restMark(from))) return false;
  try {
    mkdirSync(to, { recursive: true, mode: 0o700 });
    markInUse(from);
    rmSync(`${from}/${USAGE}`, { force: true });
    renameSync(`${from}/ws`, `${to}/ws`);
    renameSync(`${from}/ws.stat`, `${to}/ws.stat`);
    return true;
  } catch {
    return existsSync(`${to}/ws`);
  }
}
