/** What the command of a step wrote. */
import type { LiveScope } from "../scope/scope.ts";
import { getBytes } from "../scope/thread.ts";

/** Standard output and standard error as the step has them, which is what a command may write at most; nothing where it wrote nothing. */
export async function outputOf({ store, writer }: Pick<LiveScope, "store" | "writer">, n: number): Promise<Buffer> {
  const result = writer.fold.steps.get(n)?.outcome?.result;
  return result ? Buffer.from(await getBytes(store, result)) : Buffer.alloc(0);
}
