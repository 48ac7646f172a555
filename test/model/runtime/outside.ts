/** The world outside: what was done to it, with which key. */
import type { Compensate } from "../../../src/scope/effect.ts";
import type { Name } from "../types.ts";
import type { Real } from "./real.ts";
import { Unlike } from "./reply.ts";

export function did(real: Real, what: "act" | "compensate", name: Name, n: number, key: string): void {
  const step = `${name}:${n}`;
  real.deeds.push(`${what} ${step}`);
  const before = real.keys.get(step) ?? key;
  // What was taken back and is done again is another attempt, which the model tells by its number.
  const anew = what === "act" && real.undone.has(before);
  if ((before !== key) !== anew)
    throw new Unlike(`${step} has ${anew ? "the key of what was taken back" : "another key than before"}`);
  if (what === "compensate") real.undone.add(key);
  if ((real.keys.get(key) ?? step) !== step) throw new Unlike(`${step} has the key of ${real.keys.get(key)}`);
  real.keys.set(step, key).set(key, step);
}

async function nameOf(real: Real, log: string): Promise<Name> {
  return String((await real.store.logs.header(log))?.meta.name);
}

export const compensator =
  (real: Real): Compensate =>
  async ({ step, key, log }) =>
    did(real, "compensate", await nameOf(real, log), step.n, key);
