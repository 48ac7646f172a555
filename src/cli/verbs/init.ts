/** `shepherd init`: make a directory known. */
import { freshMain } from "../../run/placing.ts";
import { quotePath } from "../../world/paths.ts";
import { findWorkspace } from "../select.ts";
import type { Verb } from "../verb.ts";
import { counted } from "../words.ts";

export const verb: Verb = {
  brief: "make this directory known, and read its files once",
  usage: "",
  most: 0,
  details:
    "The first `run` does this by itself. Nothing is written into the directory; the store is elsewhere (`shepherd doctor` says where).",
  run: async ({ out, cwd, signal, store: open }) => {
    const store = await open();
    await findWorkspace(store, cwd);
    const progress = out.progress();
    const main = await freshMain(store, cwd, { signal, onProgress: (at) => progress.at(at) }).finally(() =>
      progress.done(),
    );
    const { stats, skipped } = main.capture;
    out.object({
      workspace: main.workspace.path,
      id: main.workspace.id,
      commit: main.head.id,
      tree: main.tree,
      files: stats.files,
      skipped: skipped.map(({ path, why }) => ({ path: quotePath(path), why })),
    });
    out.say(`${main.workspace.path}: ${counted(stats.files, "file")}, commit ${main.head.id.slice(0, 7)}.`);
    for (const { path, why } of skipped.slice(0, 20)) out.say(`  left out: ${quotePath(path)} (${why})`);
    if (skipped.length > 20) out.say(`  … and ${skipped.length - 20} more`);
    return undefined;
  },
};
