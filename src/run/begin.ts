/** The first moments of a run: its scope comes to stand on main. */
import type { LiveScope } from "../scope/scope.ts";
import type { Carry } from "../trace/ports.ts";
import type { Fold } from "../trace/seal.ts";
import type { Main } from "./main.ts";
import { emptyTmp, placeRun, type Task } from "./start.ts";

/** Whether the first step of a run is written. One that was forked has that of another run. */
export const hasBegun = ({ header, steps }: Pick<Fold, "header" | "steps">): boolean =>
  header.origin !== null || steps.has(0);

/** What can be read in this time (ms) need not be stood on before. */
const SOON = 1500;

/** So many files are written in little time. */
const FEW = 5000;

/**
 * Sets a new scope on main. Where that takes long to read, its tools stand on the user's own files meanwhile: `ready` once they can run, `placed` once
 * its first step is sealed.
 */
export function startOn(
  scope: LiveScope,
  n: number,
  task: Task,
  main: Promise<Main>,
  carry: Carry,
): { ready: Promise<void>; placed: Promise<void> } {
  const files = scope.files!;
  const late = new Promise<null>((resolve) => setTimeout(resolve, SOON, null).unref());
  const sealed = main.then(async (main) => {
    await placeRun(scope, n, main, task, carry);
    return { tree: main.tree, carry: main.carry, source: main.sources.workspace };
  });
  const standing = Promise.race([main, late]).then(async (soon) => {
    if (soon && (soon.capture.stats.files < FEW || (await files.isNear()))) return false;
    const stands = await files.stand({ ...carry, tmp: await emptyTmp(scope.store) }, sealed);
    if (stands) await scope.writer.note(n, { note: "base", base: "live" });
    return stands;
  });
  const placed = standing.then(async (stands) => {
    await sealed;
    if (stands) return;
    const head = scope.head();
    await files.restore(head.state!.roots.workspace, head.carry, (await main).sources);
  });
  const ready = standing.then((stands) => (stands ? undefined : placed));
  for (const each of [sealed, placed, ready]) each.catch(() => {});
  return { ready, placed };
}

/** Sets a scope on main, which is read already. */
export async function placeOn(scope: LiveScope, n: number, task: Task, main: Main, carry: Carry): Promise<void> {
  await placeRun(scope, n, main, task, carry);
  const head = scope.head();
  await scope.files!.restore(head.state!.roots.workspace, head.carry, main.sources);
}
