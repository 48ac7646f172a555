/**
 * A root over the user's own directory, for the first run of a large one: its tools need not wait until all of that is read. See layered.ts for
 * where it lies.
 */
import * as fs from "node:fs";
import type { Hash, Objects } from "../trace/ports.ts";
import { diffTrees } from "./diff.ts";
import { arg, bytesOf, closeDir, type Dir, gone, openDir, openRoot } from "./dirs.ts";
import { endsOf, forget, type Layered, type Layers, noteDown, show, usable } from "./layered.ts";
import { namesIn } from "./layers.ts";
import { dress } from "./place.ts";
import type { Changed } from "./statcache.ts";
import type { Ground } from "./statfile.ts";
import { changedIn, entriesIn } from "./upper.ts";

/** A root that stands on a directory of the user's, of which nobody knows yet what it holds. */
export type OnLive = Omit<Layered, "isSet" | "ground" | "changed"> & {
  /** Where something may differ from what the directory held at a moment, or has changed since a time (ms since 1970). */
  changedFrom(ground: Ground): Layered["changed"];
  /** See the driver's port. */
  stirred(): Promise<boolean>;
  /** Says of what differs between two trees that it is ours, whether something lies above there or not. */
  decide(objects: Objects, from: Hash | null, to: Hash | null): Promise<void>;
};

/**
 * Opens a root over a directory that its user goes on working in; null where that cannot be. What is written there later shows through, and is no
 * part of a state: that is what the directory held when it was read, with what lies above. Nothing of it is kept when it is closed.
 */
export async function openOnLive(
  home: string,
  root: string,
  layers: Layers,
  directory: string,
): Promise<OnLive | null> {
  const [, upper, note] = endsOf(home, root);
  const below = fs.statSync(directory);
  // Elsewhere directories have other numbers from above, by which they are told; and what is another user's own is not ours to show as it is.
  if (below.dev !== fs.statSync(layers.bases).dev || below.uid !== process.geteuid!()) return null;
  if (`${fs.realpathSync(layers.bases)}/`.startsWith(`${directory}/`)) return null;
  const mounts = await usable(layers);
  if (!mounts) return null;
  forget(home, root, layers);
  // What a killed owner leaves says nothing: nobody knows on what it stands.
  noteDown(note, { family: "", layers: [] });
  let shown: Awaited<ReturnType<typeof show>> | null = null;
  const close = async (): Promise<void> => {
    await shown?.close();
    forget(home, root, layers);
  };
  try {
    shown = await show(layers, mounts, home, root, [directory]);
    hideSpecial(openRoot(bytesOf(shown.path)));
  } catch {
    // Not every file system can lie below, and what cannot be looked through is not shown.
    await close();
    return null;
  }
  // What was taken away there twice, by us and by its user, has nothing above.
  const decided = new Set<string>();
  const changedFrom =
    (ground: Ground) =>
    async (since: number | null): Promise<Changed> => {
      const all = await changedIn(mounts, upper, FIRST);
      const entries = all.entries ?? entriesIn(upper);
      const some = since === null ? all : await changedIn(mounts, upper, since);
      const above = { entries: new Set([...entries, ...decided]), ground: ground.dirs };
      return { dirs: some.dirs, entries: some.entries ?? entries, above };
    };
  const decide = async (objects: Objects, from: Hash | null, to: Hash | null): Promise<void> => {
    for await (const { path } of diffTrees(objects, from, to)) decided.add(path.toString("latin1"));
  };
  // What was changed while the directory was read is not known to be in it.
  let asked = 0;
  const stirred = async (): Promise<boolean> => {
    const since = asked - LAG;
    asked = Date.now();
    // It fails where the directory is deeper than files may be open.
    return mounts.changed(directory, since).then(
      (places) => places.length > 0,
      () => true,
    );
  };
  return { ...shown, stirred, isUntouched: () => namesIn(upper).length === 0, changedFrom, decide, close };
}

/** So far a stamp may be behind the clock, in ms. */
const LAG = 2000;
/** No stamp is older than that, in ms since 1970. */
const FIRST = 1;

/** Takes sockets, pipes and devices out of what is seen: through them a process would speak to what runs on the host. */
function hideSpecial(dir: Dir): void {
  try {
    const { mode, mtimeNs: ns } = fs.fstatSync(dir.fd, { bigint: true });
    let hidden = 0;
    for (const entry of fs.readdirSync(arg(dir.at), { withFileTypes: true, encoding: "latin1" }))
      try {
        if (entry.isDirectory()) hideSpecial(openDir(dir, entry.name));
        else if (!entry.isFile() && !entry.isSymbolicLink() && ++hidden) fs.unlinkSync(arg(dir.at + entry.name));
      } catch (error) {
        // Its user has removed it meanwhile.
        if (!gone(error)) throw error;
      }
    if (hidden > 0) dress(dir.fd, { mode: Number(mode) & 0o7777, ns });
  } finally {
    closeDir(dir);
  }
}
