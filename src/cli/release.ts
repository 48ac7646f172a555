/** Letting a paused run go on. */
import { randomUUID } from "node:crypto";
import { stateOf } from "../run/lifecycle.ts";
import { listScopes, type ScopeRef } from "../scope/registry.ts";
import { readLog } from "../scope/view.ts";
import { Exit } from "./errors.ts";
import { operate } from "./operate.ts";
import { connectTo, me } from "./owner.ts";
import { chooseRun, findWorkspace } from "./select.ts";
import type { Context, Flags } from "./verb.ts";

const isPaused = async (context: Context, run: ScopeRef): Promise<boolean> => {
  const store = await context.store();
  if (!(await store.leases.holder(`log/${run.log}`))) return false;
  return (await stateOf(store, await readLog(store, run.log, run))).state === "paused";
};

/** The run named; without a name the one that is paused here, where there is just one, else as for every verb that changes something. */
export async function chooseToGoOn(context: Context, name: string | undefined): Promise<ScopeRef> {
  if (name !== undefined) return chooseRun(context, name, { destructive: true });
  const store = await context.store();
  const { id } = await findWorkspace(store, context.cwd);
  const paused: ScopeRef[] = [];
  for (const scope of await listScopes(store, id)) if (await isPaused(context, scope)) paused.push(scope);
  const [only] = paused;
  return only && paused.length === 1 ? only : chooseRun(context, undefined, { destructive: true });
}

/** Ends the pause of a run, after it was given what its agent is to be told. False if it is not paused. */
export async function releasePaused(
  context: Context,
  run: ScopeRef,
  flags: Flags,
  text: string | undefined,
): Promise<boolean> {
  if (!(await isPaused(context, run))) return false;
  const odd = Object.keys(flags).find((flag) => flag !== "json");
  if (odd) throw new Exit(2, `${run.name} is paused, and goes on as it was started: --${odd} is for one that stopped.`);
  if (text !== undefined) await operate(context, run.name, "inject", { id: randomUUID(), text, by: me() });
  const owner = await connectTo(context, run);
  try {
    await owner.request("resume", { by: me() });
  } finally {
    owner.close();
  }
  context.out.object({ scope: run.name, state: "running" });
  context.out.say(`${run.name} goes on.`);
  return true;
}
