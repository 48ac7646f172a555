/** What stands behind a run that has ended: its landing, and what is said about it. */
import { existsSync } from "node:fs";
import { masked } from "../meta/mask.ts";
import { hasLanded, landRun, previewLanding } from "../run/land.ts";
import type { Landed } from "../run/placing.ts";
import { countChanges } from "../scope/changes.ts";
import { workspacePath } from "../scope/registry.ts";
import { findStep, readScope } from "../scope/view.ts";
import { target } from "../trace/bytes.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { quotePath } from "../world/paths.ts";
import { askYesNo, confirmOnTerminal } from "./ask.ts";
import type { ExitCode } from "./errors.ts";
import type { Land } from "./landing.ts";
import type { Launch, Outcome } from "./launch.ts";
import { plain } from "./output.ts";
import { linesOf } from "./rows.ts";
import { counted } from "./words.ts";

/** What is said behind a run: what changed, how the user's directory stands to that, and what to type next. */
export async function tellEnd(launch: Launch, outcome: Outcome): Promise<ExitCode> {
  const { store, out } = launch;
  const { name, ending, land } = outcome;
  const view = await readScope(store, name);
  const directory = await workspacePath(store, view.log);
  const head = view.fold.head();
  const base = await baseOf(store, name);
  const changes = await countChanges(store, base, head.state ? target(head.state.roots.workspace) : base);
  const what =
    changes.files === 0 ? "changed no files" : `changed ${counted(changes.files, "file")} (${linesOf(changes)})`;
  const how = { done: "is done", failed: "failed", aborted: "was stopped", error: "stopped on an error" }[ending];
  const error = outcome.error && masked(outcome.error);
  if (error) out.warn(`shepherd: ${plain(error)}`);
  const asked = `${name} ${what}. Land that in ${directory}?`;
  const landed = changes.files === 0 && land !== "live" ? null : await landAtEnd(launch, outcome, asked);
  out.object({
    scope: name,
    ending,
    error,
    changes,
    landed: landed && {
      status: landed.status,
      op: landed.op,
      held: landed.held.length,
      conflicts: landed.conflicts.length,
    },
    head: head.id,
    n: head.n,
    result: outcome.result ?? null,
  });
  const stands = await standsOf(launch, outcome, landed);
  out.say(`${name} ${how} and ${what}${where(stands, directory, land)}`);
  for (const { path, why } of landed?.held ?? []) out.say(`  not landed: ${quotePath(path)} (${why})`);
  out.say(`Next: ${next(stands, outcome, changes.files > 0)}.`);
  if (landed && landed.conflicts.length > 0) return 3;
  return ending === "done" ? 0 : outcome.unfit ? 4 : 1;
}

/** How the user's directory stands to a run: `whole` where it has all of it, `before` where it has what landed some time ago. */
type Stands = "landed" | "conflict" | "waits" | "whole" | "before" | "untouched";

async function standsOf({ store }: Launch, { name, land, unfit }: Outcome, landed: Landed | null): Promise<Stands> {
  if (landed?.status === "conflict") return "conflict";
  if (landed && landed.op !== null) return "landed";
  const view = await readScope(store, name);
  const directory = await workspacePath(store, view.log);
  const some = existsSync(directory) && (await hasLanded(store, directory, view));
  if (some && land === "live") return "landed";
  // Where nothing can be written any more, the directory cannot be looked at either.
  if (unfit) return some ? "before" : "untouched";
  if (some || landed?.status === "nothing") {
    const { from, to } = await previewLanding(store, name);
    return from === to ? "whole" : "before";
  }
  return landed && landed.held.length > 0 ? "waits" : "untouched";
}

const where = (stands: Stands, directory: string, land: Land): string =>
  ({
    landed: `, landed in ${directory}${land === "live" ? " as it went" : ""}.`,
    conflict: "; you changed the same places, so that was not landed.",
    waits: ", which waits to be allowed:",
    whole: `; ${directory} has all of it.`,
    before: `; ${directory} has what landed before, and not what came since.`,
    untouched: `; your own files in ${directory} are untouched.`,
  })[stands];

function next(stands: Stands, { name, ending, land }: Outcome, changed: boolean): string {
  const log = `\`shepherd log ${name}\`${ending === "done" ? "" : `, \`shepherd resume ${name}\``}`;
  const bring = `\`shepherd diff ${name}\`, then \`shepherd merge ${name}\``;
  const back = `\`shepherd revert ${name} N\``;
  const undo = land === "live" ? `${back} sets both back to step N` : "`shepherd undo` takes the landing back";
  return {
    landed: `${log}; ${undo}`,
    conflict: `\`shepherd merge ${name}\`, or \`shepherd sync ${name}\` to bring yours into it`,
    waits: `\`shepherd merge ${name} --yes\` lands that, or ${back}`,
    whole: `${log}, or ${back}`,
    before: `${ending === "done" ? bring : log}, or ${back}`,
    untouched: `${ending === "done" && changed ? bring : log}, or ${back}`,
  }[stands];
}

/** What lands at the end of a run; null if nothing is to. */
async function landAtEnd(
  { store, out, signal }: Launch,
  { name, ending, land, unfit }: Outcome,
  question: string,
): Promise<Landed | null> {
  // Where no step can be written down any more, no landing can either.
  if (unfit) return null;
  if (land === "live") {
    // What is left are files that run code later. After a Ctrl-C nobody is asked about them.
    const rest = await landRun(store, name, signal.aborted ? {} : { signal, confirm: confirmOnTerminal(out) });
    return rest.status === "nothing" ? { ...rest, status: "done" } : rest;
  }
  if (signal.aborted || ending === "aborted" || land === "never") return null;
  if (land === "ask" && !(ending === "done" && (await askYesNo(out, question)))) return null;
  return landRun(store, name, { signal, confirm: confirmOnTerminal(out) });
}

/** The files that a run started from. */
export async function baseOf(store: EmbeddedStore, name: string): Promise<string | null> {
  const start = await findStep(store, await readScope(store, name), 0);
  return start?.step.sealed ? target(start.step.sealed.state.roots.workspace) : null;
}
