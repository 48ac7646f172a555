/** What is not alike, told in a sentence. */
import { canonical, same } from "../value.ts";

export type Difference = string | undefined;

export const differ = (what: string, model: unknown, real: unknown): Difference =>
  same(model, real) ? undefined : `${what}: the model has ${canonical(model)}, the runtime ${canonical(real)}`;
