/** Small, deterministic random numbers. */
export interface Dice {
  int(below: number): number;
  of<T>(all: readonly T[]): T;
  chance(percent: number): boolean;
}
export function dice(seed: number): Dice {
  let a = seed >>> 0;
  const int = (below: number): number => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
  return { int, of: (all) => all[int(all.length)] as never, chance: (percent) => int(100) < percent };
}
