/** A run as a file: which scopes go with it, and by which names it is known where it comes to. */
import { type Closure, closureOf } from "../trace/bundle/closure.ts";
import type { Plan } from "../trace/bundle/read.ts";
import type { NamedLog } from "../trace/bundle/write.ts";
import type { LogHeader } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { checkName, findScope, freeName, isName, listScopes, NameError, type ScopeRef } from "./registry.ts";

/** The scopes that were forked from a run, and from those, and so on, without those that are discarded. */
async function forksOf(store: EmbeddedStore, run: ScopeRef): Promise<ScopeRef[]> {
  const all = (await listScopes(store)).filter(({ discarded }) => discarded === null);
  const parents = new Map<ScopeRef, string[]>();
  for (const scope of all) {
    const header = await store.logs.header(scope.log);
    const named = header?.meta.parent ?? header?.origin?.log;
    parents.set(scope, typeof named === "string" ? [named] : []);
  }
  const found = new Set([run]);
  for (const each of found)
    for (const [scope, logs] of parents) if (scope.log !== run.log && logs.includes(each.log)) found.add(scope);
  found.delete(run);
  return [...found].sort((a, b) => a.created - b.created || (a.log < b.log ? -1 : 1));
}

/** The history of the user's own directory is nobody else's: of it come only the commits that the run began with or took in. */
const travels = ({ meta }: LogHeader): boolean => meta.kind !== "main";

/** What is exported with a run. `forks`: with the scopes that were forked from it. */
export async function partsOf(
  store: EmbeddedStore,
  run: ScopeRef,
  { forks }: { forks: boolean },
): Promise<Closure & { scopes: NamedLog[] }> {
  const scopes = [run, ...(forks ? await forksOf(store, run) : [])].map(({ name, log }) => ({ name, log }));
  const closure = await closureOf(
    store,
    scopes.map(({ log }) => log),
    travels,
  );
  return { ...closure, scopes };
}

/** A scope of a file and what it is called here. */
export interface Naming extends NamedLog {
  /** Whether it has this name here already. */
  known: boolean;
  /** Its name in the file. */
  was: string;
}

/**
 * The names that the scopes of a file get: their own, where these are free; those that they have, where they are here. The run itself gets no other
 * than the one that it is to have. Throws `NameError`.
 * @param as the name of the run, instead of its own
 */
export async function namesFor(store: EmbeddedStore, { scopes }: Pick<Plan, "scopes">, as?: string): Promise<Naming[]> {
  const here = new Map((await listScopes(store)).map((scope) => [scope.log, scope.name]));
  const [run] = scopes as [NamedLog];
  const names: Naming[] = [];
  const taken = new Set<string>();
  for (const { name: was, log } of scopes) {
    if (!isName(was)) throw new NameError("A scope in the file has a name that none can have: nothing was imported.");
    const isRun = log === run.log;
    const wish =
      as === undefined ? was : isRun ? as : was.startsWith(`${run.name}.`) ? as + was.slice(run.name.length) : was;
    const known = here.get(log);
    let name = known ?? wish;
    if (known === undefined && isRun) {
      checkName(wish);
      if (await findScope(store, wish))
        throw new NameError(`There is a run ${wish} already: give this one another name with --as NAME.`);
    } else if (known === undefined) {
      name = isName(wish) ? wish : was;
      for (let k = 2; taken.has(name) || (await findScope(store, name)); k++)
        name = await freeName(store, `${was.split(".")[0]}-${k}`);
    }
    if (isRun && as !== undefined && known !== undefined && known !== as)
      throw new NameError(`The run is here already, as ${known}: leave --as out.`);
    taken.add(name);
    names.push({ name, log, known: known !== undefined, was });
  }
  return names;
}

/**
 * Gives the scopes of a file that was taken in their names. Synced at return. Throws `NameError` if one was given away meanwhile.
 * @param workspace id of the directory that they belong to here
 */
export async function nameScopes(store: EmbeddedStore, names: readonly Naming[], workspace: string): Promise<void> {
  const byLog = new Map(names.map(({ log, name }) => [log, name]));
  for (const { name, log, known } of names) {
    if (known) continue;
    const header = (await store.logs.header(log))!;
    const { parent, created } = header.meta;
    const value = {
      log,
      workspace,
      parent:
        (typeof parent === "string" && byLog.get(parent)) || (header.origin && byLog.get(header.origin.log)) || null,
      created: typeof created === "number" ? created : Date.now(),
      discarded: null,
    };
    if (!(await store.refs.cas(`scope/${name}`, 0, JSON.stringify(value))))
      throw new NameError(`There is a scope ${name} already: import the file again to give this one another name.`);
  }
}
