/** Rights over runs as tools of a model. */
import { Invalid, ShepherdError } from "../agent/errors.ts";
import type { Handle } from "../agent/handle.ts";
import type { Holding } from "../agent/overseer.ts";
import type { Right } from "../agent/run.ts";
import { spawnedBy } from "../agent/spawning.ts";
import { withStore } from "../agent/stores.ts";
import { clip } from "../agent/tools/clip.ts";
import { type Input, type InputSchema, type Property, schema, type Tool } from "../agent/tools/tool.ts";
import { viewIn } from "../agent/watching.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { type Acting, OPERATIONS, type Operation } from "./operation.ts";
import { cut } from "./quote.ts";

const RUN: Property = {
  type: "string",
  description: "Name of a fork of the run, or of a worker that was spawned from it; the run itself without it.",
};
const WHY: Property = { type: "string", description: "Why, in a sentence: it stands in the log of the run." };
const EXPECT: Property = {
  type: "integer",
  minimum: 0,
  description:
    "The newest step of the run as you saw it: where it stands elsewhere by now nothing is done, and you are told.",
};

/** What a call of an operation takes: its own members, and of one that changes something why, and the step that it was decided on. */
export const inputOf = ({ input, readOnly }: Operation, more: { [name: string]: Property } = {}): InputSchema => {
  const said = readOnly ? {} : { why: WHY, expect: EXPECT };
  const properties = { ...input.properties, ...said, ...more };
  return schema(properties, [...input.optional, ...Object.keys(said), ...Object.keys(more)]);
};

/** The input of an operation, and what is said of it. */
export function partsOf({ why, expect, ...input }: Input): { why?: string; expect?: number; input: Input } {
  return {
    input,
    ...(typeof why === "string" && { why }),
    ...(typeof expect === "number" && { expect }),
  };
}

/** Whether `name` is a run, one that was forked from it, or one that was spawned from one of these. */
export async function isBelow(store: EmbeddedStore, run: string, name: string): Promise<boolean> {
  const known = new Set([run]);
  for (const each of known) {
    if (name === each || name.startsWith(`${each}.`)) return true;
    const view = await viewIn(store, each).catch(() => null);
    for (const spawned of view ? spawnedBy(view.fold.notes) : []) known.add(spawned);
    if (known.size > MOST) return false;
  }
  return false;
}

const MOST = 1000;
/** So much is told of why something was refused, in characters. */
const LONGEST_ERROR = 1000;

/** The tools of the runs that an agent holds. With several runs each has the name of the member of its input before its own. */
export const toolsFor = (holdings: readonly Holding[]): Tool[] =>
  holdings.flatMap((holding) =>
    Object.values(OPERATIONS)
      .filter(({ right }) => holding.rights.has(right))
      .map((operation) => toolOf(operation, holding, holdings)),
  );

function toolOf(operation: Operation, { key, handle }: Holding, holdings: readonly Holding[]): Tool {
  const { right, readOnly } = operation;
  return {
    name: `${holdings.length > 1 ? `${key}_` : ""}${operation.name}`,
    description: operation.brief,
    input: inputOf(operation, { run: RUN }),
    lock: readOnly ? "shared" : "exclusive",
    // A gate is asked about what changes something, and after a crash it is done again.
    tier: readOnly ? "reversible" : "repeatable",
    run: async ({ run, ...given }, context) => {
      const { input, ...said } = partsOf(given);
      const by = { who: context.run, right, ...(said.why !== undefined && { why: said.why }) };
      const acting: Acting = {
        signal: context.signal,
        key: context.key,
        ...(said.expect !== undefined && { expect: said.expect }),
        may: (name, right) => holds(holdings, name, right),
      };
      try {
        const own = await handle.named;
        return await withStore(handle.directory, async (store) => {
          const name = run === undefined ? own : String(run);
          if (!(await isBelow(store, own, name)))
            throw new Invalid(`${name} is no fork of ${own}, nor was it spawned from it.`);
          const done = await operation.act({ store, name }, input, by, acting);
          return { status: "done" as const, text: clip(operation.tell(done)) };
        });
      } catch (error) {
        // What an operation refuses is a result for the model.
        if (!(error instanceof ShepherdError)) throw error;
        const text = `${error.message}${error.hint ? ` ${error.hint}` : ""}`;
        return { status: "failed" as const, text: cut(text, LONGEST_ERROR) };
      }
    },
  };
}

/** Whether these holdings give a right over a run. */
async function holds(holdings: readonly Holding[], name: string, right: Right): Promise<boolean> {
  for (const { handle, rights } of holdings) if (rights.has(right) && (await isBelowOf(handle, name))) return true;
  return false;
}

const isBelowOf = async (handle: Handle, name: string): Promise<boolean> => {
  const own = await handle.named;
  return withStore(handle.directory, (store) => isBelow(store, own, name));
};
