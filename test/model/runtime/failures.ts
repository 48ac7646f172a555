/** Owners that die or lose their lease, and those that come after them. */
import { recoverLandings } from "../../../src/run/placing.ts";
import { recover, settleOperations } from "../../../src/run/recover.ts";
import { workspaceOf } from "../../../src/scope/registry.ts";
import { Busy } from "../../../src/scope/scope.ts";
import { Fenced } from "../../../src/trace/writer.ts";
import { blocksOf, isCall, isContainer, traceOf } from "../query.ts";
import { type Step, stepAt } from "../seal.ts";
import type { Reply } from "../types.ts";
import { quiet } from "./calls.ts";
import { compensator } from "./outside.ts";
import { begin, type Driven, type Real } from "./real.ts";
import { done, drivenOf, type Handlers, must, refused, type Wish } from "./reply.ts";
import { callOf, effectOf, message, modelEffect, result, runs } from "./worker.ts";

/** Goes on as the owner of a scope whose last one died: the files as at its head, what is in doubt as its tier says. */
async function goOn(real: Real, driven: Driven, { before, after }: Wish): Promise<Reply> {
  const { live, calls, name } = driven;
  await begin(driven);
  const asked = after.scopes[name]?.live?.asked ?? [];
  // A container takes no lock, so it waits for nobody.
  const behind = (s: Step): boolean =>
    !isContainer(s) &&
    asked.some((n) => n < s.n && stepAt(t, n)?.intent.links.turn === s.intent.links.turn) &&
    s.intent.links.turn !== undefined;
  const t = traceOf(after, name);
  const was = (n: number): Step => must(stepAt(traceOf(before, name), n) ?? stepAt(t, n), `no step ${n}`);
  const again = async (n: number): Promise<void> => {
    const attempt = live.writer.fold.steps.get(n)!.attempts;
    await live.writer.part(n, { part: "aborted", attempt });
    await live.writer.part(n, { part: "attempt", attempt: attempt + 1 });
  };
  const doubts = await recover(live, {
    model: async (_, { n }) => {
      const s = was(n);
      if (blocksOf(s).length === 0) return;
      const { status, threads } = await message(live, s, "cut");
      await live.writer.outcome(n, { status, ...(threads && { threads }) });
    },
    again: async (_, { n }) => {
      const s = was(n);
      await again(n);
      if (!isCall(s))
        await runs(
          await calls.start(live, await modelEffect(live, s.intent.facts.thread as string, s.intent.links.inside), n),
        );
      else if (behind(s)) driven.behind.add(n);
      else await calls.start(live, await effectOf(live, s), n);
    },
    compensate: compensator(real),
  });
  await quiet();
  for (const { n } of doubts) driven.asked.add(n);
  real.driven.set(name, driven);
  return done(doubts.length > 0 ? "asked" : "ok");
}

export const failures: Handlers = {
  kill: async (real, { scopes }) => {
    for (const name of scopes) {
      const driven = real.driven.get(name) ?? real.seized.get(name);
      if (driven) real.kill(driven);
      real.driven.delete(name);
      real.seized.delete(name);
    }
    return done("ok");
  },
  crash: async (real, { keep }) => {
    for (const each of [real.driven, real.seized, real.stale]) each.clear();
    await real.reopen(keep % 3 === 0);
    return done("ok");
  },
  seize: async (real, { scope }) => {
    const old = drivenOf(real, scope);
    real.kill(old);
    real.driven.delete(scope);
    real.seized.set(scope, await real.take(scope));
    real.stale.set(scope, old);
    return done("ok");
  },
  stale: async (real, { scope, n }, { before }) => {
    const old = must(real.stale.get(scope), `${scope} has no other owner`);
    try {
      if (n === null) await old.live.writer.note(null, { note: "attached", by: "stale" });
      else {
        const s = stepAt(traceOf(before, scope), n)!;
        await callOf(old, n).end(await result(old.live, s, "done", null));
      }
      return done("counted");
    } catch (error) {
      if (!(error instanceof Fenced) && !/has a second outcome/.test((error as Error).message)) throw error;
      real.stale.delete(scope);
      return done("fenced");
    }
  },
  recover: async (real, { scope }, wish) => {
    if (scope === "main") {
      await recoverLandings(real.store, real.user);
      await settleOperations(real.store, workspaceOf(real.user).id);
      return done("ok");
    }
    if ("refused" in wish.reply) {
      try {
        await real.release(await real.take(scope));
      } catch (error) {
        if (error instanceof Busy) return refused("up");
        throw error;
      }
      return undefined;
    }
    const driven = real.seized.get(scope) ?? (await real.take(scope));
    real.seized.delete(scope);
    return goOn(real, driven, wish);
  },
};
