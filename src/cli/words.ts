/** Numbers and names as they stand in a sentence. */
import type { Guards } from "../scope/guards.ts";
import { LIMITS, type Limits } from "../scope/limits.ts";

/** Bytes, in steps of 1000. */
export function sizeText(bytes: number): string {
  if (!Number.isFinite(bytes)) return "unlimited";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit++;
  }
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`;
}

/** Names; of more than `most` it only says how many there are. */
export const named = (names: readonly string[], most = 8): string =>
  names.length > most ? `${names.slice(0, most).join(", ")} and ${names.length - most} more` : names.join(", ");

/** A number of things. */
export const counted = (n: number, what: string, several = `${what}s`): string => `${n} ${n === 1 ? what : several}`;

/** Limits as they are typed. */
export const limitWords = (limits: Limits = {}): string =>
  LIMITS.flatMap((each) => {
    const amount = limits[each];
    if (amount === undefined) return [];
    const shown = each === "processes" ? amount : each === "time" ? `${amount / 1000}s` : sizeText(amount);
    return [`--${each} ${String(shown).replace(" ", "")}`];
  }).join(" ");

/** Declared gates as they are typed. */
export const guardWords = (guards: Guards = {}): string =>
  Object.entries(guards)
    .map(([name, holds]) => `--guard ${name}=${holds}`)
    .join(" ");
