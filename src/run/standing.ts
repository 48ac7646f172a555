/**
 * A run that stands on the user's own files, since it began before all of them were read (`base: live`): what its user changes shows through to its
 * commands. So that each of its states is what they had, it comes in as a step `sync` before the next call.
 */
import type { Handler } from "../scope/effect.ts";
import type { LiveScope } from "../scope/scope.ts";
import { serial } from "../trace/serial.ts";
import { quotePath } from "../world/paths.ts";
import { incoming } from "./incoming.ts";

/** @param onConflict is told where both changed the same place: each keeps its own, and a landing decides. */
export function standing(scope: LiveScope, directory: string, onConflict: (text: string) => void): Handler {
  const inOrder = serial();
  const main = incoming(scope, directory, (paths) => {
    const names = paths.map(({ path }) => quotePath(path)).join(", ");
    onConflict(`you and ${scope.ref.name} changed the same places in ${names}: each keeps its own until the run lands`);
  });
  return {
    name: "standing",
    handle: async ({ kind }) => {
      if (kind !== "model")
        await inOrder(async () => {
          if (await scope.files?.showsThrough()) await main.bring();
        });
      return { kind: "forward" };
    },
  };
}
