/** How an operation of the table is written: with the types of what it takes and gives. */
import { publicError } from "../agent/errors.ts";
import type { Doing } from "../agent/operations.ts";
import type { Property } from "../agent/tools/tool.ts";
import type { Json } from "../trace/ports.ts";
import type { Acting, Actor, Operation, Target } from "./operation.ts";

type Types = { string: string; integer: number; boolean: boolean };
type Properties = { readonly [name: string]: Property };

/** An input that fits: what is optional may be absent. */
export type InputOf<P extends Properties> = { readonly [K in keyof P]?: Types[P[K]["type"]] };

export interface Spec<P extends Properties, Out> extends Omit<Operation, "input" | "act" | "tell" | "readOnly"> {
  readonly properties: P;
  readonly optional?: ReadonlyArray<keyof P & string>;
  readonly readOnly?: boolean;
  act(on: Target, input: InputOf<P>, doing: Doing & Acting): Promise<Out>;
  tell(done: Out): string;
}

/** An operation by its specification. Errors of the inside become those of the family. */
export function operation<const P extends Properties, Out>(spec: Spec<P, Out>): Operation {
  const { name, right, brief, properties, optional = [], readOnly = false } = spec;
  return {
    ...{ name, right, brief, readOnly },
    input: { properties, optional },
    act: async (on, input, by: Actor, acting) => {
      try {
        const done = await spec.act(on, input as InputOf<P>, { ...acting, by });
        return (done ?? null) as Json;
      } catch (error) {
        throw publicError(error, on.name);
      }
    },
    tell: (done) => spec.tell(done as Out),
  };
}

export const STEP = { type: "integer", minimum: 0 } as const;
