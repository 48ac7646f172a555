/** Bytes in words, in steps of 1000. */
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

/** So many names stand in a sentence; of more it only says how many there are. */
const NAMED = 8;

export const named = (names: readonly string[]): string =>
  names.length > NAMED ? `${names.slice(0, NAMED).join(", ")} and ${names.length - NAMED} more` : names.join(", ");

/** A number of things. */
export const counted = (n: number, what: string, several = `${what}s`): string => `${n} ${n === 1 ? what : several}`;
