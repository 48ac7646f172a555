/**
 * The reference model: what every command does to a system, in DESIGN.md's words. Pure and total: `step(system, command)` gives the system
 * after it and a reply; a refused command leaves the system as it was and names its reason.
 */
import * as beside from "./beside.ts";
import * as failure from "./failure.ts";
import * as futures from "./futures.ts";
import { create, flush, idle, intent, observeUser, type Tx } from "./machine.ts";
import * as together from "./together.ts";
import * as turn from "./turn.ts";
import type { Command, Does, Of, Reply, System, Workspace } from "./types.ts";

const handlers: { readonly [K in Does]: (tx: Tx, command: Of<K>) => Reply } = {
  ask: turn.ask,
  block: turn.block,
  answer: turn.answer,
  call: turn.call,
  nest: turn.nest,
  allow: turn.allow,
  deny: turn.deny,
  lock: turn.lock,
  write: turn.write,
  act: turn.doAct,
  end: turn.end,
  message: turn.message,
  inject: turn.inject,
  resume: turn.resume,
  decide: turn.decide,
  run: futures.run,
  fork: futures.fork,
  revert: futures.revert,
  merge: together.merge,
  sync: together.sync,
  resolve: together.resolve,
  undo: futures.undo,
  discard: futures.discard,
  status: beside.status,
  observe: beside.observe,
  shrink: beside.shrink,
  replay: beside.replay,
  edit: beside.edit,
  forget: beside.forget,
  gc: beside.gc,
  flush: beside.sync,
  kill: failure.kill,
  crash: failure.crash,
  seize: failure.seize,
  stale: failure.stale,
  recover: failure.recover,
};

export interface Unfolded {
  /** The system after each small effect of the command; the last is the system after it. Never empty. */
  readonly trail: readonly System[];
  readonly reply: Reply;
}

/** A command, effect by effect. */
export function unfold(sys: System, command: Command): Unfolded {
  if (command.do === "crash" && command.during) {
    // Killed after so many effects: what the command would have replied is never heard.
    const { trail } = unfold(sys, command.during);
    const lived = trail.slice(0, (command.after ?? 0) % (trail.length + 1));
    const { during, after, ...bare } = command;
    const crashed = unfold(lived.at(-1) ?? sys, bare);
    return { ...crashed, trail: [...lived, ...crashed.trail] };
  }
  const tx: Tx = { sys: { ...sys, time: sys.time + 1 }, trail: [] };
  try {
    const reply = (handlers[command.do] as (tx: Tx, c: Command) => Reply)(tx, command);
    return { trail: tx.trail.length ? tx.trail : [tx.sys], reply };
  } catch (reason) {
    if (reason instanceof Error) throw reason;
    return { trail: [sys], reply: reason as Reply };
  }
}

export function step(sys: System, command: Command): [System, Reply] {
  const { trail, reply } = unfold(sys, command);
  return [trail.at(-1) ?? sys, reply];
}

/** A store on a directory with these files, which `init` has looked at. */
export function initial(user: Workspace, time = 0): System {
  const nothing: System = { scopes: {}, user, staged: false, world: [], forgotten: [], time, horizon: 0, names: [] };
  const tx: Tx = { sys: nothing, trail: [] };
  create(tx, { scope: "main", parent: null, origin: null, grants: [] }, idle);
  observeUser(tx, intent(tx, "main", { kind: "external", tier: "reversible" }));
  flush(tx, "main");
  return tx.sys;
}

export { traceOf } from "./query.ts";
export { seal, trace } from "./seal.ts";
