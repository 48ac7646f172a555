/** `shepherd uninstall`: removes all that Shepherd has put on this machine. */
import { rmdirSync, rmSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Plugin } from "../../plugins/plugin.ts";
import { PLUGINS } from "../../plugins/plugins.ts";
import { hasLanded } from "../../run/land.ts";
import { socketFolder } from "../../scope/exec/spec.ts";
import { listScopes, workspacePath } from "../../scope/registry.ts";
import { readScope } from "../../scope/view.ts";
import { target } from "../../trace/bytes.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { bytesOf } from "../../world/dirs.ts";
import { discard } from "../../world/remove.ts";
import { askYesNo } from "../ask.ts";
import { hasStore, storeDirectory } from "../context.ts";
import { baseOf } from "../end.ts";
import { Exit } from "../errors.ts";
import type { Verb } from "../verb.ts";
import { counted } from "../words.ts";

export const verb: Verb = {
  brief: "remove the store, and with it every run",
  usage: "[--yes]",
  most: 0,
  options: {
    yes: { type: "boolean", short: "y", help: "without a question, also where runs have changes that landed nowhere" },
    "dry-run": { type: "boolean", help: "only say what would be removed" },
  },
  details:
    "Shepherd writes nothing into your directories, settings or shell: all that it keeps is its store. Your files stay as they are; what runs " +
    "changed and you have not merged goes with the store.",
  examples: ["shepherd uninstall --dry-run"],
  agents: true,
  run: async (context, flags) => {
    const { out } = context;
    const directory = storeDirectory();
    if (!hasStore()) {
      out.object({ store: null, runs: 0, unlanded: [], removed: false });
      out.say(`There is no store in ${directory}, so there is nothing to remove.`);
      return undefined;
    }
    const store = await context.store();
    const scopes = await listScopes(store);
    for (const { name, log } of scopes)
      if (await store.leases.holder(`log/${log}`))
        throw new Exit(3, `${name} is at work: wait for it, or stop it first.`);
    const unlanded: string[] = [];
    for (const { name, discarded } of scopes) if (discarded === null && (await waits(store, name))) unlanded.push(name);
    const told = { store: directory, runs: scopes.length, unlanded };
    const holds = `with ${counted(scopes.length, "run")}`;
    out.say(flags["dry-run"] ? `Would remove ${directory}, ${holds}.` : `${directory} is to go, ${holds}.`);
    if (unlanded.length > 0)
      out.say(
        `${counted(unlanded.length, "of them has", "of them have")} changes that landed nowhere: ${unlanded.join(", ")}.`,
      );
    if (flags["dry-run"]) {
      out.object({ ...told, removed: false });
      return undefined;
    }
    if (!flags.yes && !(await askYesNo(out, `Remove it for good?`)))
      throw new Exit(3, "Nothing was removed; --yes removes it without a question.");
    await context.close();
    // As an ordinary user too, whatever modes agents have left there.
    if (!(await discard(bytesOf(dirname(directory)), basename(directory))))
      throw new Exit(4, `Something is mounted below ${directory}: unmount it, then try again.`);
    for (const plugin of PLUGINS) for (const place of configPlaces(plugin)) removeEmpty(place);
    rmSync(socketFolder(), { recursive: true, force: true });
    out.object({ ...told, removed: true });
    out.say("The store is removed. `npm uninstall -g shepherd-ai` removes the command, if you installed it so.");
    return undefined;
  },
};

/** Where runs of an agent may have looked for its configuration: as the variables are now, and without them. */
function configPlaces({ configPlace }: Plugin): string[] {
  const places: string[] = [];
  for (const env of [process.env, {}])
    try {
      places.push(configPlace(env).path);
    } catch {
      // A plugin of the user's that fails: the store is gone all the same.
    }
  return places;
}

/** Removes the place of an agent's configuration, which runs had to make where there was none. */
function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // It is not there, or holds what is the user's.
  }
}

/** Whether a run has changed files, and has landed nowhere. */
async function waits(store: EmbeddedStore, name: string): Promise<boolean> {
  const view = await readScope(store, name);
  const { state } = view.fold.head();
  if (!state || (await baseOf(store, name)) === target(state.roots.workspace)) return false;
  return !(await hasLanded(store, await workspacePath(store, view.log), view));
}
