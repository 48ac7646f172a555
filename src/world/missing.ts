import type { Hash } from "../trace/ports.ts";

/** Thrown where the store lacks an object that a state names. */
export class Missing extends Error {
  constructor(
    readonly id: Hash,
    /** What the object would be: a tree, a content. */
    readonly what: string,
    where = "",
  ) {
    super(`The store lacks the ${what} ${id.slice(0, 12)}${where}: run \`shepherd fsck\`, or restore without it (\`--partial\`).`);
  }
}

export const missing = (id: Hash, what: string): never => {
  throw new Missing(id, what);
};
