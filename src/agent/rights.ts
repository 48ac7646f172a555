/** Runs as input of agents: the rights that are handed over with one are what can be done with it, by type and at run time. */
import type { Agent } from "./agent.ts";
import { definitionOf } from "./agent.ts";
import type { Effects } from "./effect.ts";
import { Invalid } from "./errors.ts";
import { activeHandle, type Handle, resumed } from "./handle.ts";
import { toolsFor } from "./overseer.ts";
import { type Held, handleOf, makeRun, RIGHTS, type Right } from "./run.ts";
import type { Schema } from "./schema.ts";
import type { Tool } from "./tools/tool.ts";

/** A run as it is written down. */
interface Reference {
  $run: string;
  store?: string;
  rights?: string[];
}

const isReference = (value: unknown): value is Reference =>
  typeof value === "object" && value !== null && typeof (value as Reference).$run === "string";

/**
 * A schema for runs of an agent. Takes a run, or one of which the giver has at least these rights; gives one that has these and no others. For an agent
 * with an instruction each right but `gate` is a tool; in data (`--input`) a run is `{"$run": "NAME"}`.
 */
export function runOf<Out, E extends Effects, R extends Right>(
  agent: Agent<never, Out, E>,
  ...rights: readonly R[]
): Schema<Held<Out, E, R>, Held<Out, E, R>> {
  const definition = definitionOf(agent);
  const odd = rights.find((right) => !RIGHTS.includes(right));
  if (odd !== undefined) throw new Invalid(`There is no right ${odd}: there are ${RIGHTS.join(", ")}.`);
  const find = (value: unknown): { handle: Handle; rights: ReadonlySet<string> } | null => {
    const held = handleOf(value);
    if (held || !isReference(value)) return held;
    const { $run: name, store, rights: had = RIGHTS } = value;
    const handle = activeHandle(store, name) ?? resumed(definition, name, store === undefined ? {} : { store }, false);
    return { handle, rights: new Set(had) };
  };
  return {
    "~standard": {
      version: 1,
      vendor: "shepherd",
      validate: (value) => {
        const found = find(value);
        if (!found) return { issues: [{ message: `must be a run of ${definition.name}` }] };
        const { name } = found.handle.definition;
        if (name !== definition.name && definition.outside?.name !== "any")
          return { issues: [{ message: `is a run of ${name}, and not of ${definition.name}` }] };
        const lacking = rights.filter((right) => !found.rights.has(right));
        if (lacking.length > 0) return { issues: [{ message: `lacks the right to ${lacking.join(", ")}` }] };
        return { value: makeRun(found.handle, new Set(rights)) as unknown as Held<Out, E, R> };
      },
    },
  };
}

/** Waits until all runs in a value have their names, by which they are written down. */
export async function readyRuns(value: unknown): Promise<void> {
  const held = handleOf(value);
  if (held) await held.handle.named;
  else if (typeof value === "object" && value !== null) for (const each of Object.values(value)) await readyRuns(each);
}

/** The tools that an input brings: those of the runs in it. */
export async function toolsOf(input: unknown): Promise<Tool[]> {
  const members =
    typeof input === "object" && input !== null && !handleOf(input) ? Object.entries(input) : [["run", input]];
  const runs = members.flatMap(([key, value]) => {
    const held = handleOf(value);
    return held ? [{ key: String(key), ...held }] : [];
  });
  return runs.length === 0 ? [] : toolsFor(runs);
}
