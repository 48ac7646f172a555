/** Which runs a client may reach: those that were named and what was forked or spawned from them, or all of a directory. */
import { Invalid } from "../../agent/errors.ts";
import { findScope, listScopes, type ScopeRef } from "../../scope/registry.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { isBelow } from "../tools.ts";

export interface Reach {
  /** Those that can be reached now and are not discarded, oldest first. */
  runs(): Promise<ScopeRef[]>;
  has(name: string): Promise<boolean>;
  /** The run of a name; without one the only one that there is. Throws `Invalid` where it cannot be reached, as if it were not there. */
  find(name: string | undefined): Promise<ScopeRef>;
}

/** @param of names of runs, or the id of a workspace */
export function reachOf(store: EmbeddedStore, of: { names: readonly string[] } | { workspace: string }): Reach {
  const within = async (scope: ScopeRef): Promise<boolean> => {
    if ("workspace" in of) return scope.workspace === of.workspace;
    for (let at: ScopeRef | null = scope; at; at = await parentOf(store, at))
      for (const name of of.names) if (await isBelow(store, name, at.name)) return true;
    return false;
  };
  const runs: Reach["runs"] = async () => {
    const found: ScopeRef[] = [];
    const all = await listScopes(store, "workspace" in of ? of.workspace : undefined);
    for (const scope of all) if (scope.discarded === null && (await within(scope))) found.push(scope);
    return found.sort((a, b) => a.created - b.created);
  };
  const named = async (name: string): Promise<ScopeRef | null> => {
    const scope = await findScope(store, name);
    return scope && (await within(scope)) ? scope : null;
  };
  return {
    runs,
    has: async (name) => (await named(name)) !== null,
    find: async (name) => {
      if (name !== undefined) {
        const scope = await named(name);
        if (!scope) throw new Invalid(`There is no run ${JSON.stringify(name)} here.`);
        return scope;
      }
      const [only, ...others] = await runs();
      if (!only) throw new Invalid("There is no run here.");
      if (others.length > 0) {
        const names = [only, ...others].map((each) => each.name);
        throw new Invalid(`Which run? There are ${names.slice(0, 8).join(", ")}${names.length > 8 ? ", …" : ""}.`);
      }
      return only;
    },
  };
}

/** The run that one was forked from. One that took its name later is another one. */
async function parentOf(store: EmbeddedStore, { parent, created }: ScopeRef): Promise<ScopeRef | null> {
  const found = parent === null ? null : await findScope(store, parent);
  return found && found.created <= created ? found : null;
}
