/** `shepherd tag`: names of steps, and the check that makes a step green. */
import { probeAt, statesBetween } from "../../run/bisect.ts";
import { checkOf, notePassed, setCheck } from "../../scope/green.ts";
import { workspacePath } from "../../scope/registry.ts";
import { checkTagName, findTag, listTags, removeTag, scopeOfTag, setTag, type Tag } from "../../scope/tags.ts";
import { findStep, readLog } from "../../scope/view.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { settleModels } from "../operate.ts";
import { clip } from "../output.ts";
import { rowOf } from "../rows.ts";
import { below, chooseRun, chooseStep, findWorkspace } from "../select.ts";
import { type Context, type Flags, text, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "names for steps, and @green: where the check passed",
  usage: "[NAME [STEP]] | --delete NAME | --check COMMAND | --green [RUN]",
  most: 2,
  options: {
    force: { type: "boolean", short: "f", help: "NAME may be that of another step until now" },
    delete: { type: "boolean", short: "d", help: "remove the tag NAME" },
    check: {
      type: "string",
      value: "COMMAND",
      empty: true,
      help: "what is to pass at a step that is green; '' leaves none",
    },
    green: { type: "boolean", help: "try the check at the steps of RUN, the newest first, until it passes" },
    "dry-run": { type: "boolean", help: "only say what would be done" },
  },
  details:
    "@NAME is the step wherever a step is named; without STEP it is the newest of the newest run. Tags belong to this directory; without NAME they are listed. What a tag names is kept. " +
    "@green, or RUN@green, is the newest step of a run at which the check passed: where this very command was run and ended well, or where --green found that it does.",
  examples: [
    "shepherd tag before-refactor",
    "shepherd revert @before-refactor",
    "shepherd tag --check 'npm test'",
    "shepherd fork @green",
  ],
  run: async (context, flags, args) => {
    const forms = ["delete", "check", "green"].filter((each) => flags[each] !== undefined);
    if (forms.length > 1) throw new Exit(2, `--${forms[0]} or --${forms[1]}? One at a time.`);
    if (flags.green) return lookForGreen(context, flags, args);
    const store = await context.store();
    const { id: workspace } = await findWorkspace(store, context.cwd);
    const check = text(flags, "check");
    if (check !== undefined) return nameCheck(context, flags, args, workspace, check.trim());
    const [name, step] = args;
    if (name === undefined && !flags.delete) return list(context, workspace);
    if (name === undefined) throw new Exit(2, "Which tag? `shepherd tag --delete NAME`");
    if (flags.delete) return remove(context, flags, name, step, workspace);
    return put(context, flags, name, step);
  },
};

async function list({ out, store: open }: Context, workspace: string): Promise<undefined> {
  const store = await open();
  const tags = await listTags(store, workspace);
  const width = Math.max(0, ...tags.map(({ name }) => name.length));
  for (const tag of tags) {
    const { scope, kind, summary } = await about(store, tag);
    out.object({ ...objectOf(tag, scope), kind, summary });
    const line = `${tag.name.padEnd(width)}  ${scope ?? "(gone)"}@${tag.n}  ${tag.commit.slice(0, 7)}  ${kind ?? ""} · ${summary ?? ""}`;
    out.line(out.terminal ? clip(line, out.width) : line);
  }
  const command = await checkOf(store, workspace);
  if (tags.length === 0 && command === null) out.say("No tags here: `shepherd tag NAME` names the newest step.");
  if (command !== null) {
    out.object({ check: command });
    out.say(`@green is where \`${command}\` passes.`);
  }
  return undefined;
}

const objectOf = ({ name, n, commit, created }: Tag, scope: string | null) => ({
  tag: name,
  scope,
  n,
  id: commit,
  at: new Date(created).toISOString(),
});

async function about(
  store: EmbeddedStore,
  tag: Tag,
): Promise<{ scope: string | null; kind: string | null; summary: string | null }> {
  const scope = await scopeOfTag(store, tag).catch(() => null);
  const found = await findStep(store, await readLog(store, tag.log), tag.n).catch(() => null);
  if (!found) return { scope, kind: null, summary: null };
  const { kind, summary } = await rowOf(store, scope ?? "", found.step, false);
  return { scope, kind, summary };
}

async function put(context: Context, flags: Flags, name: string, step: string | undefined): Promise<undefined> {
  const { out } = context;
  checkTagName(name);
  const store = await context.store();
  const word = step ?? `${(await chooseRun(context, undefined)).name}@`;
  const { run, revision } = await chooseStep(context, [word], "shepherd tag NAME STEP");
  const { n, sealed } = revision.step as typeof revision.step & { sealed: NonNullable<typeof revision.step.sealed> };
  const before = await findTag(store, run.workspace, name);
  if (before && !flags.force && (before.log !== run.log || before.n !== n))
    throw new Exit(
      3,
      `The tag ${name} names step ${before.n} of ${await scopeOfTag(store, before)}: --force moves it.`,
    );
  const tag = { name, log: run.log, n, stands: revision.log, commit: sealed.id };
  if (!flags["dry-run"] && !(await setTag(store, run.workspace, tag, before)))
    throw new Exit(3, `Somebody else has just set the tag ${name}: \`shepherd tag\` shows what it names.`);
  out.object({ tag: name, scope: run.name, n, id: sealed.id, dryRun: flags["dry-run"] === true });
  out.say(`${flags["dry-run"] ? "Would name" : "Named"} step ${n} of ${run.name}: @${name}.`);
  return undefined;
}

async function remove(
  { out, store: open }: Context,
  flags: Flags,
  name: string,
  more: string | undefined,
  workspace: string,
): Promise<undefined> {
  if (more !== undefined) throw new Exit(2, `${JSON.stringify(more)} is too much here: \`shepherd tag --delete NAME\``);
  const store = await open();
  const tag = await findTag(store, workspace, name);
  if (!tag) throw new Exit(2, `There is no tag ${JSON.stringify(name)}: \`shepherd tag\` lists them.`);
  const scope = await scopeOfTag(store, tag).catch(() => null);
  if (!flags["dry-run"] && !(await removeTag(store, workspace, tag)))
    throw new Exit(3, `Somebody else has just changed the tag ${name}: \`shepherd tag\` shows what it names.`);
  out.object({ deleted: name, scope, n: tag.n, id: tag.commit, dryRun: flags["dry-run"] === true });
  out.say(
    `${flags["dry-run"] ? "Would remove" : "Removed"} the tag ${name}, which was step ${tag.n} of ${scope ?? "a run that is gone"}.`,
  );
  return undefined;
}

async function nameCheck(
  { out, store: open }: Context,
  flags: Flags,
  args: string[],
  workspace: string,
  command: string,
): Promise<undefined> {
  if (args.length > 0)
    throw new Exit(
      2,
      `${JSON.stringify(args[0])} is too much here: write the command as one word, as in --check 'npm test'.`,
    );
  const store = await open();
  if (!flags["dry-run"]) await setCheck(store, workspace, command || null);
  out.object({ check: command || null, dryRun: flags["dry-run"] === true });
  if (flags["dry-run"]) out.say(command ? `Would make \`${command}\` the check.` : "Would leave no check.");
  else out.say(command ? `@green is the newest step at which \`${command}\` passed.` : "There is no check any more.");
  return undefined;
}

/** Tries the check in forks, the newest state first, and writes down where it passes. */
async function lookForGreen(context: Context, flags: Flags, args: string[]): Promise<ExitCode | undefined> {
  const { out, signal } = context;
  if (args.length > 1) throw new Exit(2, `${JSON.stringify(args[1])} is too much here: \`shepherd tag --green [RUN]\``);
  const store = await context.store();
  const run = await chooseRun(context, args[0]);
  const command = await checkOf(store, run.workspace);
  if (command === null) throw new Exit(2, "Which check? `shepherd tag --check COMMAND` says what is to pass.");
  const view = await readLog(store, run.log, run);
  const { revision } = await chooseStep(context, [`${run.name}@`], "shepherd tag --green [RUN]");
  const states = (await statesBetween(store, view, null, revision)) ?? [];
  if (flags["dry-run"]) {
    out.object({ green: null, scope: run.name, tried: 0, dryRun: true });
    out.say(`Would try \`${command}\` at up to ${states.length} states of ${run.name}, the newest first.`);
    return undefined;
  }
  const at = below(await workspacePath(store, run.log), context.cwd);
  const progress = out.progress();
  let tried = 0;
  for (const { steps } of states.reverse()) {
    // The newest step with that state: it is what one goes on from.
    const { step } = steps.at(-1)!;
    progress.at(`step ${step.n}: ${command}`);
    tried++;
    const { verdict } = await probeAt(store, run.name, step.n, {
      argv: ["sh", "-c", command],
      at,
      signal,
      settle: settleModels,
    }).finally(() => progress.done());
    if (verdict !== "passes") continue;
    await notePassed(store, run.log, { command, commit: step.sealed!.id });
    out.object({ green: step.n, scope: run.name, tried, dryRun: false });
    out.say(`\`${command}\` passes at step ${step.n} of ${run.name}: ${run.name}@green.`);
    return undefined;
  }
  out.object({ green: null, scope: run.name, tried, dryRun: false });
  out.say(`\`${command}\` passes at no step of ${run.name}.`);
  return 1;
}
