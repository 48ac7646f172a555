/** Requests to whoever drives a run. */
import { userInfo } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type Connection, connect, NoOwner } from "../run/connect.ts";
import { cannot } from "../run/control.ts";
import { socketPath } from "../run/socket.ts";
import { listScopes, type ScopeRef } from "../scope/registry.ts";
import { Busy } from "../scope/scope.ts";
import { Exit } from "./errors.ts";
import { chooseRun, findWorkspace } from "./select.ts";
import type { Context } from "./verb.ts";
import { named } from "./words.ts";

/** The user, as notes and steps name them. */
export function me(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${process.getuid?.() ?? "?"}`;
  }
}

/** The run named, or the one of this directory that is driven now; without one, the only one that there is. */
export async function chooseLive(context: Context, name: string | undefined): Promise<ScopeRef> {
  if (name !== undefined) return chooseRun(context, name, { destructive: true });
  const store = await context.store();
  const { id } = await findWorkspace(store, context.cwd);
  const live: ScopeRef[] = [];
  for (const scope of await listScopes(store, id)) if (await store.leases.holder(`log/${scope.log}`)) live.push(scope);
  if (live.length > 1) throw new Exit(2, `Which run? At work are ${named(live.map((scope) => scope.name))}: name one.`);
  const [run] = live;
  if (!run) return chooseRun(context, undefined, { destructive: true });
  if (!context.out.json) context.out.warn(context.out.style("dim", `(${run.name}, the run that is at work here)`));
  return run;
}

/** Throws a sentence where a run is of a kind with which that cannot be done. */
export async function requireControl(
  context: Context,
  run: ScopeRef,
  what: Parameters<typeof cannot>[1],
): Promise<void> {
  const { taskOf } = await import("./launch.ts");
  const why = cannot(await taskOf(await context.store(), run.name), what, run.name);
  if (why !== null) throw new Exit(3, why);
}

/** So often it is tried again while somebody holds the lease and does not listen (yet), each time after some ms. */
const TRIES = 60;
const PAUSE = 50;

/** A connection to the process that drives a run. Throws a sentence where none does. */
export async function connectTo({ store: open, signal }: Context, { name, log }: ScopeRef): Promise<Connection> {
  const store = await open();
  for (let tries = 0; ; tries++) {
    try {
      return await connect(socketPath(store, log));
    } catch (error) {
      if (!(error instanceof NoOwner)) throw error;
      const owner = await store.leases.holder(`log/${log}`);
      if (!owner) throw new Exit(3, `${name} is not at work: \`shepherd resume ${name}\` goes on with it.`);
      // It has not begun to listen, is about to end, or is a shell, which does not listen at all.
      if (tries >= TRIES) throw new Busy(name, owner.pid);
      await sleep(PAUSE, undefined, { signal });
    }
  }
}
