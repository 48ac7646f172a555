/** Scopes that an effect makes, found again by its key when that is attempted once more. */
import { type Actor, asParams } from "../run/actor.ts";
import { checkExpected, type Expected } from "../run/expect.ts";
import { operate } from "../run/operate.ts";
import { forkScope } from "../scope/fork.ts";
import { listScopes } from "../scope/registry.ts";
import { readScope } from "../scope/view.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** The forks of `parent` that were made under a key, in the order in which they were made. */
async function madeUnder(store: EmbeddedStore, parent: string, key: string): Promise<string[]> {
  const found: string[] = [];
  const scopes = (await listScopes(store)).filter(({ name }) => name.startsWith(`${parent}.`));
  for (const { name, log } of scopes.sort((a, b) => numberOf(a.name) - numberOf(b.name))) {
    const { made, call } = (await store.logs.header(log))?.meta ?? {};
    if (made === key || (call as { key?: string } | undefined)?.key === key) found.push(name);
  }
  return found;
}

const numberOf = (name: string): number => Number(name.slice(name.lastIndexOf(".") + 1));

/** The name of the fork of `parent` that was made under a key; null if there is none. */
export const madeBefore = async (store: EmbeddedStore, parent: string, key: string): Promise<string | null> =>
  (await madeUnder(store, parent, key))[0] ?? null;

export interface Forking {
  count: number;
  /** The step behind which they begin; the newest sealed one without it. */
  at?: number | undefined;
  /** Before that step instead: its call is open. */
  intent?: boolean | undefined;
  by: Actor;
  expect?: Expected | undefined;
  /** The same for each attempt: those that an earlier one has made are not made again. */
  key?: string | undefined;
}

/** Makes forks of a run, all of one commit. Gives their names. Synced at return. Throws `Moved` where it stands elsewhere than is expected. */
export async function forksOf(
  store: EmbeddedStore,
  parent: string,
  { count, at, intent = false, by, expect, key }: Forking,
): Promise<string[]> {
  const made = key === undefined ? [] : await madeUnder(store, parent, key);
  if (made.length >= count) return made;
  const view = await readScope(store, parent);
  if (made.length === 0) checkExpected({ ref: view.ref!, fold: view.fold }, expect);
  const refs = await forkScope(store, parent, at ?? view.fold.head().n, {
    count: count - made.length,
    atIntent: intent,
    ...(key !== undefined && { meta: { made: key } }),
    note: async (facts) => {
      await operate(store, parent, "note", { n: null, facts: { ...facts }, ...asParams(by) });
    },
  });
  return [...made, ...refs.map(({ name }) => name)];
}
