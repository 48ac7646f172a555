/** Operations from the command line: what a crash cut short is settled as its worker would. */
import { settleModels } from "../agent/settle.ts";
import { type Left, operate as operateOn, type Params } from "../run/operate.ts";
import { findScope } from "../scope/registry.ts";
import type { Json } from "../trace/ports.ts";
import { me } from "./owner.ts";
import type { Context } from "./verb.ts";

export { settleModels } from "../agent/settle.ts";

/** A sentence about an effect that something leaves behind. */
export function tellLeft({ n, tier, compensated, inDoubt }: Left): string {
  const what = compensated
    ? "was taken back"
    : `${inDoubt ? "may have acted; if so it " : ""}stands: it cannot be taken back`;
  return `step ${n} (${tier}) ${what}`;
}

/** Sentences about calls that were ended although they may have acted. */
export const tellDoubts = (inDoubt: ReadonlyArray<{ n: number; tier: string }>): string[] =>
  inDoubt.map(({ n, tier }) => `  step ${n} (${tier}) may have acted before the crash, and ends as aborted`);

/** A run that is at work takes its time before it lets others change it: so long without a word, in ms. */
const SILENT = 1000;

/** Does an operation; says so where it waits for the process that drives the run. */
export async function operate(
  { store: open, signal }: Pick<Context, "store" | "signal">,
  name: string,
  operation: string,
  params: Params,
): Promise<Json> {
  const store = await open();
  const timer = setTimeout(async () => {
    const scope = await findScope(store, name).catch(() => null);
    const owner = scope && (await store.leases.holder(`log/${scope.log}`).catch(() => null));
    if (owner && owner.pid !== process.pid)
      process.stderr.write(`shepherd: Waiting for ${name}, which is at work (pid ${owner.pid}).\n`);
  }, SILENT);
  try {
    return await operateOn(store, name, operation, { by: me(), ...params }, { settle: settleModels, signal });
  } finally {
    clearTimeout(timer);
  }
}
