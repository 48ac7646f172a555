/** `shepherd checkout`: all files of a step into a directory. */
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { isForgotten } from "../../scope/files.ts";
import { findScope } from "../../scope/registry.ts";
import { isStepNumber } from "../../scope/revision.ts";
import { target } from "../../trace/bytes.ts";
import { makeDirectories } from "../../trace/directories.ts";
import { materialise } from "../../world/materialise.ts";
import { quotePath } from "../../world/paths.ts";
import { Exit } from "../errors.ts";
import { chooseStep } from "../select.ts";
import type { Verb } from "../verb.ts";
import { counted } from "../words.ts";

export const verb: Verb = {
  brief: "all files of a step into a directory",
  usage: "[RUN] STEP DIR",
  options: {
    partial: { type: "boolean", help: "exit with 0 although files are left out whose bytes are gone" },
    "no-vcs": { type: "boolean", help: "without the directories named .git" },
  },
  details:
    "DIR must be empty or not exist. Files, modes, links, empty directories and times are those of the step. A file whose bytes were " +
    "forgotten, or lost, is left out and named, and the exit code is 3 (forgotten) or 4 (lost: `shepherd fsck`).",
  examples: ["shepherd checkout 6 /tmp/at-6"],
  run: async (context, flags, args) => {
    const { out, signal } = context;
    const name = args.at(-1);
    if (args.length < 2 || name === undefined)
      throw new Exit(2, "Which step, and where to? `shepherd checkout [RUN] STEP DIR`");
    if (
      args.length === 2 &&
      (isStepNumber(name) || name.includes("@")) &&
      (await findScope(await context.store(), args[0]!))
    )
      throw new Exit(
        2,
        `Where to? \`shepherd checkout ${args[0]} ${name} DIR\`; for a directory of that name write ./${name}.`,
      );
    const directory = resolve(context.cwd, name);
    const odd = existsSync(directory) ? oddPlace(directory) : null;
    if (odd) throw new Exit(2, `${directory} ${odd}: name a new directory.`);
    const store = await context.store();
    const { run, revision } = await chooseStep(context, args.slice(0, -1), "shepherd checkout [RUN] STEP DIR");
    try {
      makeDirectories(directory);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new Exit(2, `${directory} cannot be made (${code}): name another directory.`);
    }
    const { state, carry } = revision.sealed;
    const progress = out.progress();
    const done = await materialise(
      directory,
      {
        tree: target(state.roots.workspace),
        mtimes: carry.mtimes ? target(carry.mtimes) : null,
        vcs: carry.vcs && !flags["no-vcs"] ? target(carry.vcs) : null,
        vcsMtimes: carry.vcsMtimes && !flags["no-vcs"] ? target(carry.vcsMtimes) : null,
      },
      store.objects,
      {
        signal,
        partial: true,
        onProgress: ({ files }) => progress.at(`writing ${directory}: ${files} files`),
      },
    ).finally(() => progress.done());
    // It would lead git to the user's own repository.
    if (carry.outerVcs) rmSync(join(directory, ".git"), { force: true });
    const missing: Array<{ path: string; id: string; forgotten: boolean }> = [];
    for (const { path, id } of done.missing)
      missing.push({ path: quotePath(path), id, forgotten: await isForgotten(store, id) });
    out.object({
      scope: run.name,
      n: revision.step.n,
      commit: revision.sealed.id,
      directory,
      files: done.written,
      missing,
    });
    out.say(`Step ${revision.step.n} of ${run.name}: ${counted(done.written, "file")} in ${directory}.`);
    for (const { path, forgotten } of missing)
      out.say(
        `  left out: ${path} (${forgotten ? "its bytes were forgotten" : "its bytes are lost: `shepherd fsck`"})`,
      );
    if (missing.length === 0 || flags.partial) return undefined;
    return missing.every(({ forgotten }) => forgotten) ? 3 : 4;
  },
};

/** Why files cannot be put where something stands; null for an empty directory. */
function oddPlace(path: string): string | null {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.isFile() ? "is a file" : "is no directory";
  return readdirSync(path).length > 0 ? "is not empty" : null;
}
