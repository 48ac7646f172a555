/** Operations on one run: start, fork, revert, undo, discard. */
import { discardRun } from "../../../src/run/discard.ts";
import { undoLanding } from "../../../src/run/land.ts";
import { freshMain } from "../../../src/run/placing.ts";
import { beginRun, createRun, placeRun, type Task } from "../../../src/run/start.ts";
import { forkScope } from "../../../src/scope/fork.ts";
import { discards, type Operation } from "../../../src/scope/operations.ts";
import { NameError, NO_GRANTS, workspaceOf } from "../../../src/scope/registry.ts";
import { revertScope, Unacknowledged } from "../../../src/scope/revert.ts";
import { checkGivesUp, discardScope, undoDiscard, undoInScope } from "../../../src/scope/undo.ts";
import { operations, traceOf } from "../query.ts";
import type { Name, Reply, System } from "../types.ts";
import { compensator } from "./outside.ts";
import { operationsIn } from "./reading.ts";
import { begin, type Real, settleFiles } from "./real.ts";
import { done, drivenOf, type Handlers, refused, stepError, Unlike } from "./reply.ts";
import { confirm, racing } from "./together.ts";
import { stop } from "./worker.ts";

/** The operation of the runtime that is the model's `at`-th in a scope. */
async function operationAt(real: Real, sys: System, name: Name, at: number | undefined): Promise<Operation | Reply> {
  const all = await operationsIn(real, name);
  if (at === undefined)
    return all.findLast(({ kind, state }) => kind !== "undo" && state === "done") ?? refused("nothing");
  const ops = operations(traceOf(sys, name));
  if (!ops[at]) return refused("no-op");
  const operation = all[all.length - ops.length + at];
  if (!operation) return refused("expired");
  return operation.state === "undone" ? refused("undone") : operation;
}

export const futures: Handlers = {
  run: async (real, { scope, task: number }, { reply }) => {
    const task: Task = { worker: "agent", text: JSON.stringify(number) };
    const create = (workspace: { path: string; id: string }) =>
      createRun(real.store, { task, workspace, name: scope, grants: NO_GRANTS });
    if ("refused" in reply) {
      try {
        await create(workspaceOf(real.user));
      } catch (error) {
        if (error instanceof NameError) return refused("exists");
        throw error;
      }
      throw new Unlike(`${scope} was made a second time`);
    }
    const main = await freshMain(real.store, real.user);
    await create(main.workspace);
    const driven = await real.take(scope);
    await begin(driven);
    const n = await beginRun(driven.live, task);
    await placeRun(driven.live, n, main, task);
    await settleFiles(driven);
    // As its first request does.
    await driven.live.writer.sync();
    real.driven.set(scope, driven);
    return done("ok", { n });
  },
  fork: async (real, { scope, n, at, k }) => {
    const { live } = drivenOf(real, scope);
    try {
      const made = await forkScope(real.store, scope, n, {
        count: k,
        atIntent: at === "intent",
        note: async (facts) => {
          await live.writer.note(null, { ...facts });
          await live.writer.sync();
        },
      });
      for (const { name } of made) {
        const driven = await real.take(name);
        await begin(driven);
        await settleFiles(driven);
        real.driven.set(name, driven);
      }
      return done("ok", { scopes: made.map(({ name }) => name) });
    } catch (error) {
      return stepError(error);
    }
  },
  revert: async (real, { scope, n, acknowledge }, { before, reply }) => {
    const driven = drivenOf(real, scope);
    if ("ok" in reply) await stop(driven, before);
    try {
      const reverted = await revertScope(driven.live, n, {
        acknowledge: acknowledge === true,
        compensate: compensator(real),
      });
      return done("ok", { n: reverted.n });
    } catch (error) {
      if (error instanceof Unacknowledged) return refused("irreversible");
      return stepError(error);
    }
  },
  undo: async (real, { scope, op, race }, { before }) => {
    const operation = await operationAt(real, before, scope, op);
    if ("refused" in operation || "ok" in operation) return operation;
    const workspace = workspaceOf(real.user);
    const gaveUp = discards(operation);
    if (gaveUp !== null) {
      try {
        await (gaveUp ? undoDiscard : checkGivesUp)(real.store, operation);
      } catch (error) {
        if (error instanceof NameError) return refused("nothing");
        throw error;
      }
    }
    if (gaveUp === false) {
      await giveUp(real, scope, before, operation);
      return done("ok");
    }
    if (gaveUp) {
      const driven = await real.take(scope);
      await begin(driven);
      await settleFiles(driven);
      real.driven.set(scope, driven);
      return done("restored");
    }
    if (scope === "main") {
      const undone = await undoLanding(racing(real, race), workspace, operation, { confirm });
      return done(undone.status === "conflict" ? "conflict" : "ok");
    }
    await freshMain(real.store, real.user);
    const driven = drivenOf(real, scope);
    await stop(driven, before);
    const undone = await undoInScope(driven.live, operation);
    return done(undone.status === "conflict" ? "conflict" : "ok", { n: undone.n as number });
  },
  discard: async (real, { scope }, { before, reply }) => {
    if ("refused" in reply) {
      try {
        await discardScope(real.store, scope);
      } catch (error) {
        if (error instanceof NameError) return reply;
        throw error;
      }
      throw new Unlike(`${scope} was discarded twice`);
    }
    await giveUp(real, scope, before);
    return done("ok");
  },
};

/** @param undoes the undo of an earlier discard, if this takes that back */
async function giveUp(real: Real, name: Name, sys: System, undoes?: Operation): Promise<void> {
  const driven = drivenOf(real, name);
  await stop(driven, sys);
  await real.release(driven);
  real.driven.delete(name);
  await discardRun(real.store, name, { compensate: compensator(real), ...(undoes && { undoes }) });
}
