/** `resume` of a command behind the gateway: it is driven, with the options that it was started with. */
import { PORT } from "../plugins/worker.ts";
import type { Task } from "../run/start.ts";
import { detect } from "../scope/exec/abilities.ts";
import type { ScopeRef } from "../scope/registry.ts";
import { readScope } from "../scope/view.ts";
import { Exit, type ExitCode } from "./errors.ts";
import { budgetOf, type How, howBefore } from "./gateway.ts";
import { LANDS_ONCE, landOf } from "./landing.ts";
import type { Launch } from "./launch.ts";
import { requireDriven } from "./model.ts";
import { lacks } from "./partial.ts";
import { record } from "./recording.ts";
import { type Context, choice, type Flags } from "./verb.ts";

export async function driveCommand(context: Context, flags: Flags, run: ScopeRef, task: Task): Promise<ExitCode> {
  const { out, signal } = context;
  const { name } = run;
  // What `gateway --scope` gave a run of programs of the user's to do is no task of it.
  if (!task.argv) requireDriven(name, task);
  const odd = ["model", "open"].find((flag) => flags[flag] !== undefined);
  if (odd) throw new Exit(2, `${name} is a run of a command, which asks and does all by itself: leave --${odd} out.`);
  const word = choice(flags, "land", LANDS_ONCE);
  const store = await context.store();
  const land = await landOf(context, word, { workspace: run.workspace, count: 1, run: name });
  const known = await howBefore(store, await readScope(store, name));
  const { enforced, ...before } = known ?? NEVER;
  const how: How = { ...before, budget: { ...before.budget, ...budgetOf(flags) } };
  const { samePath, why } = await detect();
  if (known && enforced && !samePath)
    throw new Exit(4, `The command of ${name} reached nothing but the gateway, which cannot be held here. ${why}`);
  const network = enforced && samePath ? { port: PORT } : "host";
  const launch: Launch = { store, out, signal, several: false, land, lacks: lacks(context, flags) };
  const command = { argv: task.argv!, at: task.at };
  return record(launch, { name, task, command, how, network, drive: true });
}

/** Killed before it was started. */
const NEVER: How & { enforced: boolean } = { upstreams: [], budget: {}, prices: {}, enforced: true };
