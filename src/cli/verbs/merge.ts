/** `shepherd merge`: a run's files into the user's directory, or into another run. */
import { fetchCommits } from "../../run/git.ts";
import { landRun } from "../../run/land.ts";
import type { Take } from "../../scope/merge.ts";
import { quotePath } from "../../world/paths.ts";
import { confirmOnTerminal } from "../ask.ts";
import { Exit } from "../errors.ts";
import { landedObject } from "../landing.ts";
import { operate, tellDoubts } from "../operate.ts";
import type { Output } from "../output.ts";
import { PARTIAL } from "../partial.ts";
import { chooseRun } from "../select.ts";
import { choice, type Flags, text, type Verb } from "../verb.ts";
import { counted } from "../words.ts";

export const verb: Verb = {
  brief: "a run's files into your directory, or into its parent",
  usage: "[RUN] [--into RUN | --git]",
  most: 1,
  options: {
    into: { type: "string", value: "RUN", help: "merge into this run instead of your directory" },
    take: {
      type: "string",
      value: "SIDE",
      help: "where both changed a place: ours (what it is merged into), theirs (RUN), or both, where they go together",
    },
    git: { type: "boolean", help: "only bring what RUN has committed, as the branch shepherd/RUN of your repository" },
    yes: { type: "boolean", short: "y", help: "land files that run code later without asking" },
    ...PARTIAL,
    "dry-run": { type: "boolean", help: "only say what would be changed" },
  },
  details:
    "Your directory is looked at first; what you changed meanwhile is kept and merged. Where both changed the same lines nothing is written, " +
    "the conflict is recorded, and the exit code is 3; `--take` resolves it. `--take both` has what each put there one after the other, and the " +
    "words that each changed; where the two do not go together it is left. Look at what it made: nobody has read it. `shepherd undo` takes a merge back.",
  examples: [
    "shepherd merge fix-login",
    "shepherd merge fix-login.2 --into fix-login",
    "shepherd merge fix-login --take theirs",
  ],
  run: async (context, flags, args) => {
    const { out } = context;
    const store = await context.store();
    const run = await chooseRun(context, args[0], { destructive: true });
    const into = text(flags, "into");
    const take = takeOf(flags);
    if (flags.git) {
      if (into !== undefined || take || flags["dry-run"]) throw new Exit(2, "--git stands alone: it changes no file.");
      const { branch, commit } = await fetchCommits(store, run.name);
      out.object({ from: run.name, branch, commit });
      out.say(
        `What ${run.name} has committed is in your branch ${branch} (${commit.slice(0, 7)}); no file was changed.`,
      );
      return undefined;
    }
    if (into !== undefined) {
      if (into === "main")
        throw new Exit(2, `main is your own directory: \`shepherd merge ${run.name}\` without --into lands there.`);
      if (into === run.name) throw new Exit(2, "A run cannot be merged into itself.");
      await chooseRun(context, into, { destructive: true });
      if (flags["dry-run"]) {
        out.object({ from: run.name, into, dryRun: true });
        out.say(`Would merge ${run.name} into ${into}.`);
        return undefined;
      }
      const merged = (await operate(context, into, "merge", {
        from: run.name,
        take: take ?? null,
      })) as unknown as MergedJson;
      out.object({ from: run.name, into, ...merged });
      for (const line of tellDoubts(merged.inDoubt)) out.warn(line);
      if (merged.status === "nothing") out.say(`${into} has all of ${run.name} already.`);
      if (merged.status === "done")
        out.say(
          `Merged ${run.name} into ${into} as step ${merged.n}${merged.adopted ? "; it goes on with that conversation" : ""}.`,
        );
      tellResolved(out, merged.resolved);
      if (merged.status !== "conflict") return undefined;
      out.say(`${run.name} and ${into} changed the same places; ${into} is left as it was (step ${merged.n}):`);
      for (const { path, why } of merged.conflicts) out.say(`  ${path}: ${why}`);
      out.say(
        `\`--take theirs\` takes those of ${run.name}, \`--take ours\` keeps those of ${into}${orBoth(take, merged.conflicts)}.`,
      );
      return 3;
    }
    const progress = out.progress();
    const landed = await landRun(store, run.name, {
      signal: context.signal,
      dryRun: flags["dry-run"] === true,
      onProgress: (at) => progress.at(at),
      ...(take && { take }),
      ...(flags.yes ? { confirm: async () => true } : !flags["dry-run"] && { confirm: confirmOnTerminal(out) }),
    }).finally(() => progress.done());
    const kept = landed.kept.map(({ path, why }) => ({ path: quotePath(path), why }));
    const resolved = landed.resolved.map(({ path, how }) => ({ path: quotePath(path), how }));
    out.object({ from: run.name, ...landedObject(landed), kept, resolved });
    const paths = counted(landed.changes.length, "path");
    if (landed.status === "nothing" && kept.length > 0)
      out.say(
        `Nothing of ${run.name} ${flags["dry-run"] ? "would be" : "was"} landed: all that it changed you changed too, and yours is kept.`,
      );
    else if (landed.status === "nothing") out.say(`Your directory has all of ${run.name} already.`);
    else if (landed.status === "conflict")
      out.say(
        `${run.name} and your directory changed the same places; those ${flags["dry-run"] ? "would be" : "are"} left as you have them:`,
      );
    else if (flags["dry-run"] && landed.changes.length > 0) out.say(`Would change ${paths} in ${landed.directory}:`);
    else if (landed.changes.length === 0)
      out.say(`Nothing of ${run.name} ${flags["dry-run"] ? "would be" : "was"} landed.`);
    else out.say(`Landed ${run.name}: ${paths} in ${landed.directory}. \`shepherd undo\` takes it back.`);
    if (flags["dry-run"])
      for (const { path, kind } of landed.changes) out.say(`  ${kind.padEnd(8)} ${quotePath(path)}`);
    for (const { path, why } of landed.conflicts) out.say(`  ${quotePath(path)}: ${why}`);
    tellResolved(out, resolved);
    for (const { path, why } of kept) out.say(`  yours is kept: ${path} (${why})`);
    if (kept.length > 0)
      out.say(
        `To have those of ${run.name}: ${landed.op === null ? "" : "`shepherd undo`, then "}\`shepherd merge ${run.name} --take theirs\`.`,
      );
    if (landed.conflicts.length > 0 && (!take || take === "both"))
      out.say(
        `\`--take theirs\` takes those of ${run.name}, \`--take ours\` keeps yours${orBoth(take, landed.conflicts)}.`,
      );
    for (const { path, why } of landed.held)
      out.say(`  ${flags["dry-run"] ? "would not land" : "not landed"}: ${quotePath(path)} (${why})`);
    if (landed.held.some(({ never }) => !never)) out.say(`\`shepherd merge ${run.name} --yes\` lands what waits.`);
    const waits = landed.held.some(({ never }) => !(flags.partial && never === "forgotten"));
    return landed.conflicts.length > 0 || waits ? 3 : undefined;
  },
};

/** What else may be tried where texts conflict. */
export const orBoth = (take: Take | undefined, conflicts: ReadonlyArray<{ why: string }>): string =>
  take === "both" || conflicts.every(({ why }) => why !== "content")
    ? ""
    : ", `--take both` has both where they go together";

/** Says what `--take both` made, which nobody has read yet. */
export function tellResolved(out: Output, resolved: ReadonlyArray<{ path: string; how: readonly string[] }>): void {
  for (const { path, how } of resolved)
    out.say(`  both in one: ${path} (${how.map((each) => HOW[each] ?? each).join(", ")})`);
}

const HOW: { [how: string]: string } = {
  beside: "statements side by side, each changed by one",
  both: "what each put at the same place",
  words: "the words that each changed",
  definition: "what each has in a definition of the same name",
};

/** The side that `--take` names. Throws `Exit` where it names none. */
export function takeOf(flags: Flags): Take | undefined {
  return choice(flags, "take", ["ours", "theirs", "both"]);
}

interface MergedJson {
  n: number | null;
  op: number | null;
  status: "done" | "conflict" | "nothing";
  adopted: boolean;
  inDoubt: Array<{ n: number; tier: string }>;
  conflicts: Array<{ path: string; why: string }>;
  resolved: Array<{ path: string; how: string[] }>;
}
