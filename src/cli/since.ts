/** Moments as people type them. */
import { Exit } from "./errors.ts";

const UNITS: { [unit: string]: number } = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };

/** A moment, ms since the epoch, from how long ago it was (`90m`, `12h`, `7d`, `2w`) or a date (`2026-03-01`, RFC 3339). Throws `Exit` for what is neither. */
export function momentOf(flag: string, text: string, now = Date.now()): number {
  const [, amount, unit] = /^(\d+)([mhdw])$/.exec(text) ?? [];
  if (amount !== undefined) return now - Number(amount) * UNITS[unit!]!;
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at))
    throw new Exit(
      2,
      `--${flag} takes how long ago, as 12h or 7d, or a date, as 2026-03-01, not ${JSON.stringify(text)}.`,
    );
  return at;
}
