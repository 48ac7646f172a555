/** `--land`: what becomes of a run's files. */

import { noteLand } from "../run/lifecycle.ts";
import { landLive } from "../run/live.ts";
import type { Landed } from "../run/placing.ts";
import { listScopes, workspacePath } from "../scope/registry.ts";
import type { LiveScope } from "../scope/scope.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { quotePath } from "../world/paths.ts";
import { Exit } from "./errors.ts";
import { type Output, plain } from "./output.ts";
import type { Context } from "./verb.ts";

/** At the end after a question, or without one, while the run goes on, or not at all. */
export type Land = "ask" | "auto" | "live" | "never";

export const LANDS: readonly Land[] = ["ask", "auto", "live", "never"];
/** For what does nothing while it goes on that could land live. */
export const LANDS_ONCE = ["ask", "auto", "never"] as const;

export const LAND_HELP = "ask, auto, live or never: when what it changes comes into your directory";

/**
 * What a flag asks for. Without one a run that has the terminal and the directory for itself asks, all others do not land. Throws `Exit` where
 * others are at work in a directory in which a run is to land live.
 * @param run its name, where it goes on
 * @param live whether it has landed live before: it goes on so
 */
export async function landOf(
  { out, store: open }: Context,
  word: Land | undefined,
  { workspace, count, run, live }: { workspace: string; count: number; run?: string; live?: boolean },
): Promise<Land> {
  if (word !== undefined && word !== "live") return word;
  if (word === undefined && live) {
    const other = await atWork(await open(), workspace, run);
    if (!other) return "live";
    out.warn(`shepherd: ${run} landed live before, and does so no more, beside ${other}.`);
  }
  const attended = out.terminal && process.stdin.isTTY === true && !process.env.CI;
  if (word === undefined && (count > 1 || !attended)) return "never";
  const other = count > 1 ? "each other" : await atWork(await open(), workspace, run);
  if (word === undefined) return other ? "never" : "ask";
  if (other)
    throw new Exit(
      2,
      `--land live is for a run that has the directory for itself, and not beside ${other}: use ask, auto or never.`,
    );
  return "live";
}

/** The name of a run, but for one, that somebody drives in a workspace. */
async function atWork(store: EmbeddedStore, workspace: string, but?: string): Promise<string | null> {
  for (const { name, log } of await listScopes(store, workspace))
    if (name !== but && (await store.leases.holder(`log/${log}`))) return name;
  return null;
}

export interface FollowLive {
  inbox(): string[];
  /** Gives what is to become of the files at the end: where a run that lands live met a conflict, that is asked. */
  end(): Promise<Land>;
  /** Where the run broke off: lands nothing more. */
  close(): Promise<void>;
}

/** Lands while the run goes on, if that is asked for. */
export async function followLive(
  { store, out, land }: { store: EmbeddedStore; out: Output; land: Land },
  scope: LiveScope,
): Promise<FollowLive> {
  if (land !== "live") return { inbox: () => [], end: async () => land, close: async () => {} };
  const directory = await workspacePath(store, scope.ref.log);
  const live = landLive(scope, directory, { onStop: (why) => out.warn(`shepherd: ${plain(why)}.`) });
  scope.handlers.unshift(live.handler);
  await noteLand(scope.writer, "live");
  return {
    inbox: live.inbox,
    end: async () => {
      if (await live.end()) return "live";
      await noteLand(scope.writer, "ask");
      return "ask";
    },
    close: live.close,
  };
}

/** A landing as it stands in an object of --json. */
export const landedObject = (landed: Landed) => ({
  status: landed.status,
  op: landed.op,
  changes: landed.changes.map(({ path, kind }) => ({ path: quotePath(path), kind })),
  held: landed.held.map(({ path, why }) => ({ path: quotePath(path), why })),
  conflicts: landed.conflicts.map(({ path, why }) => ({ path: quotePath(path), why })),
});
