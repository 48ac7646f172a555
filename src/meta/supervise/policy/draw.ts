/** Numbers that follow from a seed and a name: the same in every process, whatever else was drawn. */
import { createHash } from "node:crypto";

/** At least 0, less than 1. */
export function draw(...key: readonly (string | number)[]): number {
  const hash = createHash("sha256").update(JSON.stringify(key)).digest();
  return hash.readUIntBE(0, 6) / 2 ** 48;
}
