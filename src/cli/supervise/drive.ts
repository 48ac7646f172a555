/** Driving a supervisor from the command line: what it has of this process, what is told of it, and its end. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Run } from "../../agent/run.ts";
import { maskedIn } from "../../meta/mask.ts";
import { type Rim, supervisor } from "../../meta/supervise/driver.ts";
import { type Finished, MODULE, SUPERVISE } from "../../meta/supervise/plan.ts";
import { reportOf } from "../../meta/supervise/report/data.ts";
import { html } from "../../meta/supervise/report/html.ts";
import { markdown } from "../../meta/supervise/report/markdown.ts";
import { costWords, figuresOf } from "../../meta/supervise/report/words.ts";
import { type Task, taskOf } from "../../run/start.ts";
import { findScope, freeName, listScopes, NO_GRANTS, type ScopeRef } from "../../scope/registry.ts";
import { requireRoom } from "../../trace/quota.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { tellEnd } from "../end.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { type Land, landOf } from "../landing.ts";
import { plain } from "../output.ts";
import { lacks } from "../partial.ts";
import { below, findWorkspace } from "../select.ts";
import { type Context, type Flags, text } from "../verb.ts";
import { budgetOf, planOf } from "./asked.ts";
import { telling } from "./telling.ts";

/** Starts a supervisor, with its workers. */
export async function superviseNew(
  context: Context,
  flags: Flags,
  args: string[],
  land: Land | undefined,
): Promise<ExitCode> {
  const { cwd } = context;
  const store = await context.store();
  await requireRoom(store);
  const workspace = await findWorkspace(store, cwd);
  const plan = await planOf(context, store, flags, args, below(workspace.path, cwd));
  for (const { task } of plan.workers)
    if (task.worker === "plugin") await (await import("../coding.ts")).requireProgram(context.out, task);
  const given = text(flags, "scope");
  const name = given ?? (await freeName(store, SUPERVISE));
  return follow(context, flags, { name, land, workspace: workspace.id }, ({ agent }, options) =>
    agent.start(plan, { ...options, in: cwd, module: MODULE, name }),
  );
}

/** Goes on with a supervisor that stopped. */
export async function superviseOn(
  context: Context,
  flags: Flags,
  args: string[],
  land: Land | undefined,
): Promise<ExitCode> {
  const store = await context.store();
  const odd = Object.keys(flags).find(
    (flag) => flags[flag] !== undefined && !["resume", "budget", "report", "land", "json"].includes(flag),
  );
  if (odd) throw new Exit(2, `A supervisor goes on as it was started: leave --${odd} out.`);
  if (args.length > 1 || context.rest) throw new Exit(2, "One run: `shepherd supervise --resume [RUN]`.");
  const run = await chooseSupervisor(context, store, args[0]);
  return goOn(context, flags, run, land);
}

/** Whether a run is one of a supervisor, as `shepherd supervise` starts them. */
export const isSupervisor = ({ agent }: Task): boolean => agent?.module === MODULE;

async function chooseSupervisor(context: Context, store: EmbeddedStore, name: string | undefined): Promise<ScopeRef> {
  if (name !== undefined) {
    const scope = await findScope(store, name);
    if (!scope) throw new Exit(2, `There is no run ${JSON.stringify(name)}: \`shepherd status\` lists them.`);
    if (!isSupervisor(await taskOf(store, name)))
      throw new Exit(2, `${name} is no run of a supervisor: \`shepherd resume ${name}\` goes on with it.`);
    return scope;
  }
  const { id } = await findWorkspace(store, context.cwd);
  const scopes = (await listScopes(store, id)).sort((a, b) => b.created - a.created);
  for (const scope of scopes)
    if (
      scope.discarded === null &&
      scope.parent === null &&
      isSupervisor(await taskOf(store, scope.name).catch(() => NONE))
    )
      return scope;
  throw new Exit(2, "No supervisor was started in this directory: `shepherd supervise` starts one.");
}

const NONE: Task = { worker: "command", text: "" };

export function goOn(context: Context, flags: Flags, run: ScopeRef, land: Land | undefined): Promise<ExitCode> {
  return follow(context, flags, { name: run.name, land, workspace: run.workspace }, ({ agent }, options) =>
    agent.resume(run.name, options),
  );
}

interface Followed {
  name: string;
  land: Land | undefined;
  workspace: string;
}

async function follow(
  context: Context,
  flags: Flags,
  { name, land: word, workspace }: Followed,
  begin: (made: ReturnType<typeof supervisor>, options: { store: string; signal: AbortSignal }) => Run<Finished>,
): Promise<ExitCode> {
  const { out, signal } = context;
  const store = await context.store();
  const land = await landOf(context, word, { workspace, count: 1, run: name });
  const told = telling(out);
  const budget = budgetOf(flags);
  const made = supervisor({ ...rimOf(context, store), ...(budget !== undefined && { budget }), tell: told.tell });
  let finished: Finished | null = null;
  let error: Error | null = null;
  try {
    finished = await begin(made, { store: store.directory, signal }).result;
  } catch (reason) {
    error = reason instanceof Error ? reason : new Error(String(reason));
  } finally {
    told.end();
    await made.close(finished === null);
  }
  const begun = (await findScope(store, name)) !== null;
  const written = begun ? await writeReport(context, store, flags, name) : null;
  if (!finished) {
    const { name: kind, message } = error!;
    if (kind === "Invalid" && !begun) throw new Exit(2, message);
    const code = kind === "InDoubt" || kind === "Conflict" ? 3 : 1;
    if (!["Cancelled", "OverBudget", "Failed", "Conflict", "InDoubt", "Denied", "Invalid"].includes(kind)) throw error;
    throw new Exit(code, signal.aborted ? `${name} was stopped, and its workers with it.` : message, goesOn(name));
  }
  return end(context, store, { name, finished, land, written });
}

const goesOn = (name: string): string => `\`shepherd resume ${name}\` goes on with it.`;

function rimOf(context: Context, store: EmbeddedStore): Omit<Rim, "tell"> {
  const { out } = context;
  return {
    store,
    grants: async ({ worker }) => ({ ...NO_GRANTS, ...(worker === "plugin" && { network: "proxy" as const }) }),
    carry: async (task, workspace) => {
      if (task.worker !== "plugin") return {};
      const coding = await (await import("../coding.ts")).openCoding(store, out, task);
      try {
        return await coding.carry(workspace);
      } finally {
        await coding.close();
      }
    },
  };
}

/** Writes the report where that is asked for, as all views are: what looks like a credential is masked. */
async function writeReport(
  { cwd, out }: Context,
  store: EmbeddedStore,
  flags: Flags,
  name: string,
): Promise<string | null> {
  const word = text(flags, "report");
  if (word === undefined) return null;
  const directory = resolve(cwd, word);
  const report = maskedIn(await reportOf(store, name));
  try {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "report.md"), markdown(report));
    writeFileSync(join(directory, "report.html"), html(report));
  } catch (error) {
    out.warn(`shepherd: The report could not be written: ${(error as Error).message}`);
    return null;
  }
  return directory;
}

async function end(
  context: Context,
  store: EmbeddedStore,
  { name, finished, land, written }: { name: string; finished: Finished; land: Land; written: string | null },
): Promise<ExitCode> {
  const { out, signal } = context;
  const report = maskedIn(await reportOf(store, name));
  const { looks, decided, denied } = figuresOf(report);
  out.object({
    scope: name,
    ok: finished.ok,
    into: finished.into,
    workers: finished.workers.map(({ name: worker, state, merged, handedBack }) => ({
      name: worker,
      state,
      merged,
      handedBack: handedBack.conflict + handedBack.check,
      ...report.workers.find((each) => each.name === worker)!.spent,
    })),
    check: finished.check && (finished.check.code === 0 ? "passes" : "fails"),
    looks,
    decisions: decided,
    denied,
    policy: report.spent.policy,
    report: written,
  });
  for (const { name: worker, state, merged } of finished.workers)
    if (merged === "left") out.say(`${worker} is not merged, since it is ${state}: \`shepherd log ${worker}\`.`);
    else if (merged === "conflict")
      out.say(`${worker} is not merged: both it and those before it have changed the same places.`);
  if (finished.check && finished.check.code !== 0)
    out.say(`The check fails on the merged work: \`shepherd show ${finished.into} ${finished.check.n}\`.`);
  out.say(costWords(report));
  if (written) out.say(`The report: ${plain(written)}/report.html`);
  const conflict = finished.workers.some(({ merged }) => merged === "conflict");
  if (finished.into === null) return 1;
  const launch = { store, out, signal, several: false, land, lacks: lacks(context, {}) };
  const code = await tellEnd(launch, {
    name: finished.into,
    ending: finished.ok ? "done" : "failed",
    land: finished.ok ? land : "never",
    error: null,
    unfit: false,
  });
  return conflict ? 3 : code;
}
