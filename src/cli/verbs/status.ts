/** `shepherd status`: the runs of a directory. */

import { stateOf } from "../../run/lifecycle.ts";
import { orphans } from "../../scope/operations.ts";
import { grantsOf, listScopes } from "../../scope/registry.ts";
import { readLog } from "../../scope/view.ts";
import { importOf } from "../../trace/bundle/imported.ts";
import { isReadOnly } from "../../trace/disk.ts";
import { allDiscarded, findWorkspace } from "../select.ts";
import type { Verb } from "../verb.ts";
import { guardWords, limitWords, named } from "../words.ts";

const STYLES = {
  running: "cyan",
  paused: "yellow",
  waiting: "yellow",
  done: "green",
  failed: "red",
  error: "red",
  interrupted: "yellow",
  discarded: "dim",
} as const;

export const verb: Verb = {
  brief: "runs of this directory, and how they stand",
  usage: "[--all]",
  most: 0,
  options: { all: { type: "boolean", short: "a", help: "discarded runs and those of other directories too" } },
  run: async ({ out, cwd, store: open }, flags) => {
    const store = await open();
    const workspace = await findWorkspace(store, cwd);
    if (workspace.known && (await orphans(store, workspace.id)).length > 0) {
      // Nearly never, and much to load.
      const { recoverLandings } = await import("../../run/placing.ts");
      await recoverLandings(store, workspace.path).catch((error: unknown) => {
        // Whoever can write ends them.
        if (!isReadOnly(error)) throw error;
      });
    }
    const scopes = (await listScopes(store, flags.all ? undefined : workspace.id))
      .filter((scope) => flags.all || scope.discarded === null)
      .sort((a, b) => b.created - a.created);
    if (scopes.length === 0 && (await listScopes(store, workspace.id)).length > 0)
      out.say(allDiscarded(workspace.path));
    else if (scopes.length === 0) out.say(`No runs from ${workspace.path}. \`shepherd run claude "TASK"\` starts one.`);
    for (const ref of scopes) {
      const view = await readLog(store, ref.log, ref);
      const { state, owner, waits } = await stateOf(store, view);
      const head = view.fold.head();
      const { limits = {}, guards = {} } = await grantsOf(store, ref.log);
      const at = new Date(ref.created).toISOString();
      const imported = await importOf(store, ref.log);
      out.object({
        scope: ref.name,
        state,
        head: head.id,
        n: head.n,
        parent: ref.parent,
        at,
        pid: owner?.pid ?? null,
        discarded: ref.discarded !== null,
        imported: imported && { at: new Date(imported.at).toISOString(), file: imported.file },
        limits,
        guards,
        waits: waits ?? null,
      });
      const away = waits && waits.gates.length > 0 ? `for gate ${named(waits.gates)}` : "";
      const words = [away, imported ? "imported" : "", limitWords(limits), guardWords(guards)]
        .filter(Boolean)
        .join("  ");
      const style = STYLES[state as keyof typeof STYLES];
      const shown = style ? out.style(style, state.padEnd(11)) : state.padEnd(11);
      out.line(
        `${ref.name.padEnd(24)} ${shown} step ${String(head.n).padStart(4)}  ${(head.id ?? "").slice(0, 7)}  ${at.slice(0, 16).replace("T", " ")}${words && `  ${words}`}`,
      );
    }
    return undefined;
  },
};
