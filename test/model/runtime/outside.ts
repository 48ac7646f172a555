/** The world outside: what was done to it, with which key. */
import type { Compensate } from "../../../src/scope/effect.ts";
import type { Name } from "../types.ts";
import type { Real } from "./real.ts";
import { Unlike } from "./reply.ts";

export function did(real: Real, what: "act" | "compensate", name: Name, n: number, key: string): void {
  const step = `${name}:${n}`;
  real.deeds.push(`${what} ${step}`);
  if ((real.keys.get(step) ?? key) !== key) throw new Unlike(`${step} has another key than before`);
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
