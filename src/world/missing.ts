import type { Hash } from "../trace/ports.ts";
import { quotePath } from "./paths.ts";

/** Thrown where the store lacks an object that a state names, or where it was forgotten. */
export class Missing extends Error {
  constructor(
    readonly id: Hash,
    /** What the object would be: a tree, a content. */
    readonly what: string,
    /** The path that needs it, where that is known. */
    readonly path?: Buffer,
    options?: ErrorOptions,
  ) {
    const of = path ? ` of ${quotePath(path) || "the root directory"}` : "";
    super(
      `The store lacks the ${what} ${id.slice(0, 12)}${of}: run \`shepherd fsck\`, or restore without it (\`--partial\`).`,
      options,
    );
  }
}

/** As `Missing`, of what was destroyed on request. */
export class ForgottenAt extends Missing {
  constructor(id: Hash, path: Buffer, options?: ErrorOptions) {
    super(id, "content", path, options);
    this.message = `${quotePath(path) || "The root directory"} was forgotten on request; its bytes are gone for good.`;
  }
}

export const missing = (id: Hash, what: string): never => {
  throw new Missing(id, what);
};
