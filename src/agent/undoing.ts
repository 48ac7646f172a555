/** How effects of a log are taken back: by the undo of the definition that declared them. */
import type { Compensate } from "../scope/effect.ts";
import { Refused, UndoFailed } from "../scope/revert.ts";
import type { Json } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { knownDefinition } from "./agent.ts";
import { actedOn, placeOf } from "./journal.ts";
import { readResult } from "./performing.ts";
import { validated } from "./schema.ts";

/** Of effects that came through the merge of another run too. Throws `Refused` where this program does not know the undo, `UndoFailed` where that throws. */
export function undoing(store: EmbeddedStore): Compensate {
  /** What the undo of a step is, and what it is given. */
  const known = async ({ step, log }: { step: Step; log: string }) => {
    const found = await placeOf(store, step);
    const agent = String(step.intent.agent);
    const name = found ? `${agent}: ${found.call.name}` : agent;
    const effect = found && knownDefinition(agent)?.effects[found.call.name];
    if (!found || !effect?.undo)
      throw new Refused(
        `The undo of step ${step.n}${found ? ` (${name})` : ""} is not known to this program: define that agent in it.`,
      );
    const input = await validated(effect.input, await actedOn(store, log, step, found.call.input as Json));
    const output =
      step.outcome?.status === "done"
        ? await validated(effect.output, await readResult({ store }, step.outcome))
        : null;
    for (const checked of [input, output])
      if (checked && "wrong" in checked)
        throw new Refused(`Step ${step.n} (${found.call.name}) does not fit its effect any more: ${checked.wrong}.`);
    const done = { input: (input as { value: unknown }).value, output: (output as { value?: unknown } | null)?.value };
    return { name, undo: async (key: string) => effect.undo!(done, { key, signal: new AbortController().signal }) };
  };
  return Object.assign(
    async ({ step, key, log }: { step: Step; key: string; log: string }): Promise<void> => {
      const { name, undo } = await known({ step, log });
      try {
        await undo(key);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new UndoFailed(`The undo of step ${step.n} (${name}) failed: ${why}`, { cause: error });
      }
    },
    { check: async (effect: { step: Step; log: string }) => void (await known(effect)) },
  );
}
