/** How effects of a log are taken back: by the undo of the definition that declared them. */
import type { Compensate } from "../scope/effect.ts";
import { Refused } from "../scope/revert.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { knownDefinition } from "./agent.ts";
import { placeOf } from "./journal.ts";
import { readResult } from "./performing.ts";
import { validated } from "./schema.ts";

/** Of effects that came through the merge of another run too. Throws `Refused` where this program does not know the undo. */
export const undoing =
  (store: EmbeddedStore): Compensate =>
  async ({ step, key }) => {
    const found = await placeOf(store, step);
    const agent = String(step.intent.agent);
    const effect = found && knownDefinition(agent)?.effects[found.call.name];
    if (!found || !effect?.undo)
      throw new Refused(
        `The undo of step ${step.n}${found ? ` (${agent}: ${found.call.name})` : ""} is not known to this program: define that agent in it.`,
      );
    const input = await validated(effect.input, found.call.input);
    const output =
      step.outcome?.status === "done"
        ? await validated(effect.output, await readResult({ store }, step.outcome))
        : null;
    for (const checked of [input, output])
      if (checked && "wrong" in checked)
        throw new Refused(`Step ${step.n} (${found.call.name}) does not fit its effect any more: ${checked.wrong}.`);
    await effect.undo(
      { input: (input as { value: unknown }).value, output: output ? (output as { value: unknown }).value : undefined },
      { key, signal: new AbortController().signal },
    );
  };
