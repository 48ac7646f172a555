/** Steps as `RUN@N`, as any verb takes them. */
import { listScopes } from "../scope/registry.ts";
import type { Found } from "../scope/view.ts";
import type { EmbeddedStore } from "../trace/store.ts";

export interface Addresses {
  /** The scope that a log belongs to; null for main, and where its name is gone. */
  scope(log: string): string | null;
  /** `fix@2`; null for a step that no name leads to. */
  of(found: Found): string | null;
}

export async function addressesIn(store: EmbeddedStore): Promise<Addresses> {
  const names = new Map((await listScopes(store)).map(({ log, name }) => [log, name]));
  const scope = (log: string): string | null => names.get(log) ?? null;
  return {
    scope,
    of: ({ log, step }) => {
      const name = scope(log);
      return name && `${name}@${step.n}`;
    },
  };
}
