/** Where the tools are that rights over runs are for a model. They stand above agents, so whoever opens the door of the library says so. */
import type { Handle } from "./handle.ts";
import type { Right } from "./run.ts";
import type { Tool } from "./tools/tool.ts";

/** A run that an agent was given. */
export interface Holding {
  /** The member of its input that it is. */
  readonly key: string;
  readonly handle: Handle;
  readonly rights: ReadonlySet<Right>;
}

interface Overseer {
  toolsFor(holdings: readonly Holding[]): Tool[];
}

let load: (() => Promise<Overseer>) | null = null;

export const overseenBy = (given: () => Promise<Overseer>): void => {
  load = given;
};

export async function toolsFor(holdings: readonly Holding[]): Promise<Tool[]> {
  if (!load) throw new Error("Nobody has said where the tools of rights are: import the library by its door.");
  return (await load()).toolsFor(holdings);
}
