/** A turn: model calls, tool calls under the lock, messages, and the user's word on what is in doubt. */
import { containerOf, current, isAllowed, traceOf } from "../query.ts";
import { stepAt } from "../seal.ts";
import type { Accepted } from "../types.ts";
import { comes, quiet } from "./calls.ts";
import { blockOf } from "./contents.ts";
import { did } from "./outside.ts";
import { done, drivenOf, type Handlers, must, Unlike } from "./reply.ts";
import {
  beginCall,
  callEffect,
  callOf,
  dropOpen,
  effectOf,
  message,
  modelEffect,
  putValue,
  result,
  runs,
  say,
  without,
  withTier,
} from "./worker.ts";

export const turn: Handlers = {
  ask: async (real, { scope, thread }, { before }) => {
    const { live, calls } = drivenOf(real, scope);
    const inside = containerOf(traceOf(before, scope), thread) ?? undefined;
    const call = await calls.start(live, await modelEffect(live, thread, inside));
    await runs(call);
    return done("ok", { n: call.n });
  },
  block: async (real, { scope, thread, block }, { before, reply }) => {
    const { live } = drivenOf(real, scope);
    const { n } = reply as Accepted;
    const of = current(traceOf(before, scope), thread).calls.length;
    const what = await putValue(live, blockOf(block, of));
    await live.writer.part(n!, { part: "block", what, ...(block.call && { call: true }) });
    return done("ok", { n: n! });
  },
  answer: async (real, { scope, thread, fail }, { before, reply }) => {
    const driven = drivenOf(real, scope);
    const n = (reply as Accepted).n!;
    const s = stepAt(traceOf(before, scope), n)!;
    if (s.intent.facts.thread !== thread) throw new Unlike("another thread");
    const settled = await callOf(driven, n).end(await message(driven.live, s, fail ? "failed" : "done"));
    return done(settled.outcome.status === "cut" ? "cut" : "ok", { n });
  },
  call: async (real, { scope, thread, of }, { before }) => {
    const { n } = await beginCall(drivenOf(real, scope), traceOf(before, scope), thread, of);
    await quiet();
    return done("ok", { n });
  },
  nest: async (real, { scope, inside, call }) => {
    const { live, calls } = drivenOf(real, scope);
    const { n } = await calls.start(live, await callEffect(live, call, { inside }));
    await quiet();
    return done("ok", { n });
  },
  allow: async (real, { scope, n }, { before }) => {
    const { calls } = drivenOf(real, scope);
    const s = stepAt(traceOf(before, scope), n)!;
    // The runtime writes its consent down when the call begins.
    if (s.intent.facts.tier === "irreversible") calls.decide(n, { kind: "allow" });
    await quiet();
    return done("ok", { n });
  },
  deny: async (real, { scope, n, as }, { before }) => {
    const driven = drivenOf(real, scope);
    const s = stepAt(traceOf(before, scope), n)!;
    const { live, calls } = driven;
    const atGate =
      as === "denied" &&
      s.intent.facts.tier === "irreversible" &&
      !isAllowed(traceOf(before, scope), n) &&
      calls.all.has(n);
    if (atGate) {
      calls.decide(n, { kind: "deny", reason: "the user said no" });
      must(await comes(() => live.writer.fold.steps.get(n)!.outcome !== null), `${n} was not refused`);
      calls.all.delete(n);
    } else await without(driven, s, as, as);
    await quiet();
    return done("ok", { n });
  },
  lock: async (real, { scope, n }, { reply }) => {
    const driven = drivenOf(real, scope);
    const call = driven.calls.all.get(n);
    if ("ok" in reply) {
      await runs(must(call, `step ${n} has not begun`));
      return done("ok", { n });
    }
    await quiet();
    return call?.runs() ? done("ok", { n }) : reply;
  },
  write: async (real, { scope, n, edit }) => {
    drivenOf(real, scope).files.edit(edit);
    return done("ok", { n });
  },
  act: async (real, { scope, n, tier }) => {
    const call = callOf(drivenOf(real, scope), n);
    did(real, "act", scope, n, call.key());
    call.tier = tier;
    return done("ok", { n });
  },
  end: async (real, { scope, n, status, output }, { before }) => {
    const driven = drivenOf(real, scope);
    const call = callOf(driven, n);
    const s = stepAt(traceOf(before, scope), n)!;
    await call.end(await withTier(call, await result(driven.live, s, status, output)));
    await quiet();
    return done("ok", { n });
  },
  message: async (real, { scope, text }, { before }) => {
    const driven = drivenOf(real, scope);
    await dropOpen(driven, traceOf(before, scope), "main");
    return done("ok", { n: await say(driven, "message", text) });
  },
  inject: async (real, { scope, text }) => done("ok", { n: await say(drivenOf(real, scope), "inject", text) }),
  resume: async (real, { scope, thread }, { before, reply }) => {
    const driven = drivenOf(real, scope);
    const t = traceOf(before, scope);
    if ((reply as Accepted).ok === "dropped") {
      await dropOpen(driven, t, thread);
      return done("dropped");
    }
    for (const of of current(t, thread).open) await beginCall(driven, t, thread, of);
    await quiet();
    return done("performed");
  },
  decide: async (real, { scope, n, as }, { before }) => {
    const driven = drivenOf(real, scope);
    const { live, calls } = driven;
    const s = stepAt(traceOf(before, scope), n)!;
    driven.asked.delete(n);
    if (as === "again") {
      const { attempts } = live.writer.fold.steps.get(n)!;
      await live.writer.part(n, { part: "aborted", attempt: attempts });
      await live.writer.part(n, { part: "attempt", attempt: attempts + 1 });
      calls.decide(n, { kind: "allow" });
      await calls.start(live, await effectOf(live, s), n);
    } else if (as === "drop") await without(driven, s, "aborted", "dropped");
    else {
      const { status, result: output, threads } = await result(live, s, "done", "happened");
      await live.writer.outcome(n, {
        status,
        ...(output && { result: output }),
        ...(threads && { threads }),
        happened: true,
      });
    }
    await quiet();
    // What only waited for the user's word on this one begins now.
    for (const m of [...driven.behind].sort((a, b) => a - b)) {
      const waits = stepAt(traceOf(before, scope), m)!;
      const { turn } = waits.intent.links;
      if ([...driven.asked].some((o) => o < m && live.writer.fold.steps.get(o)!.links.turn === turn)) continue;
      driven.behind.delete(m);
      await calls.start(live, await effectOf(live, waits), m);
    }
    await quiet();
    return done("ok", { n });
  },
};
