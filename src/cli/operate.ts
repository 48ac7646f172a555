/** Operations from the command line: what a crash cut short is settled as its worker would. */
import { settleModel } from "../agent/settle.ts";
import { operate as operateOn, type Params } from "../run/operate.ts";
import { settlePending } from "../run/recover.ts";
import type { LiveScope } from "../scope/scope.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** Ends what is in doubt: answers that were passed on in part count with the blocks they have. */
export async function settleAll(scope: LiveScope): Promise<void> {
  for (const step of scope.writer.fold.pending())
    if (step.intent.kind === "model" && !step.outcome) await settleModel(scope, step);
  await settlePending(scope);
}

export const operate = (store: EmbeddedStore, name: string, operation: string, params: Params): Promise<Json> =>
  operateOn(store, name, operation, params, settleAll);
