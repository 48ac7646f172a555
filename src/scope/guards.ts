/** Gates that belong to a scope: its grants name them, and what holds for a call while the gate of that name is not there. */

/** It is denied, it waits until the gate has come, or it is as if the gate had let it pass. */
export type GuardDefault = "deny" | "wait" | "allow";

export type Guards = { [name: string]: GuardDefault };

/** The strictest first. */
export const GUARD_DEFAULTS: readonly GuardDefault[] = ["deny", "wait", "allow"];

const NAME = /^[a-z0-9][a-z0-9_-]{0,47}$/;

/** Gives the name back. Throws a sentence for what is none. */
export function gateName(name: string): string {
  if (NAME.test(name)) return name;
  throw new Error(
    `${JSON.stringify(name)} is no name for a gate: use lower-case letters, digits, - and _, at most 48.`,
  );
}

const isGuard = (name: string, holds: unknown): holds is GuardDefault =>
  NAME.test(name) && GUARD_DEFAULTS.includes(holds as GuardDefault);

/**
 * Of what a child asks for besides what its parent has: no gate goes, none gets a laxer default, and none is new that lets pass, since that would
 * be a consent which the parent has not.
 */
export function lowerGuards(parent: Guards = {}, asked: { [name: string]: unknown } = {}): Guards {
  const lower = { ...parent };
  for (const [name, holds] of Object.entries(asked)) {
    if (!isGuard(name, holds)) continue;
    const before = Object.hasOwn(parent, name) ? parent[name]! : "allow";
    if (GUARD_DEFAULTS.indexOf(holds) < GUARD_DEFAULTS.indexOf(before)) lower[name] = holds;
  }
  return lower;
}
