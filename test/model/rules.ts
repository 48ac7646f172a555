/** The rules of DESIGN.md section 3 on sealing, the lock, tiers, doubt and revert, as predicates over one transition. */
import { type Effect, effects, isCompensated, ownedPast, owner } from "./effects.ts";
import {
  accepted,
  acting,
  changedLogs,
  first,
  type Law,
  names,
  pairs,
  stateBefore,
  type Transition,
  type Verdict,
} from "./laws.ts";
import {
  attempt,
  find,
  isAllowed,
  isCall,
  isContainer,
  kindOf,
  pending,
  positionIn,
  rank,
  tierOf,
  traceOf,
  unsealed,
} from "./query.ts";
import { modeOf, type Step, stepAt, type Trace } from "./seal.ts";
import type { Name, System, Workspace } from "./types.ts";
import { changed, same } from "./value.ts";

const refusedChangesNothing: Law = (t) =>
  accepted(t) || t.after === t.before ? undefined : "a refused command left a mark";

// ---- sealing and the lock -------------------------------------------------------------------------------------------------

/** What had to be sealed before a call, said once more in other words. */
function awaited(t: Trace, s: Step): Step[] {
  if (!isCall(s)) return [];
  const turn = stepAt(t, s.intent.links.turn);
  const message = turn && kindOf(turn) === "model" ? [turn] : [];
  if (isContainer(s)) return message;
  const siblings = t.steps.filter(
    (o) =>
      isCall(o) &&
      !isContainer(o) &&
      o.n < s.n &&
      o.intent.links.turn !== undefined &&
      o.intent.links.turn === s.intent.links.turn,
  );
  const held = (o: Step) => (o.outcome?.facts.workspace && !isContainer(o) ? o.outcome.seq : Number.POSITIVE_INFINITY);
  const earlier = t.steps.filter(
    (o) =>
      o !== s && held(o) < held(s) && Number.isFinite(held(s)) && !(modeOf(o) === "shared" && modeOf(s) === "shared"),
  );
  return [...message, ...siblings, ...earlier];
}

/** "A step is sealed by itself": after all that it waits for, and as soon as that is sealed. */
const sealing: Law = (t) =>
  first(changedLogs(t), (name) => {
    const tr = t.m.traceOf(t.after, name);
    const at = new Map(tr.sealed.map((s, i) => [s.n, i]));
    return first(tr.steps, (s) => {
      const mine = at.get(s.n);
      const waits = awaited(tr, s);
      if (mine === undefined)
        return s.outcome && waits.every((o) => at.has(o.n)) ? `${name}:${s.n} should be sealed` : undefined;
      if (!s.outcome) return `${name}:${s.n} is sealed without an outcome`;
      const late = waits.find((o) => (at.get(o.n) ?? Number.POSITIVE_INFINITY) > mine);
      return late ? `${name}:${s.n} is sealed before ${late.n}` : undefined;
    });
  });

/** In a thread every result answers a call of the newest message, once, and a message comes when the one before it is answered. */
const threads: Law = (t) =>
  first(changedLogs(t), (name) =>
    first(Object.entries(t.m.traceOf(t.after, name).state.threads), ([thread, items]) => {
      let calls = 0;
      let open = new Set<number>();
      return first(items, (item): Verdict => {
        if (item.role === "user") return;
        if (item.role === "result")
          return item.of < calls && open.delete(item.of)
            ? undefined
            : `${name}, ${thread}: a result that nothing asked for`;
        if (open.size) return `${name}, ${thread}: a message before the results it asks for`;
        calls = item.blocks.filter((b) => b.call).length;
        open = new Set(Array.from({ length: calls }, (_, i) => i));
        return;
      });
    }),
  );

/** A call that a message asked for leaves its result in the thread, however it ended. */
const answers: Law = (t) =>
  first(changedLogs(t), (name) => {
    const tr = t.m.traceOf(t.after, name);
    const had = t.before.scopes[name] ? t.m.traceOf(t.before, name).sealed.length : 0;
    return first(tr.sealed.slice(had), ({ n, commit }) => {
      const { thread, of } = commit.intent;
      if (thread === undefined || of === undefined) return;
      const last = commit.state.threads[thread]?.at(-1);
      return last?.role === "result" && last.of === of ? undefined : `${name}:${n} has no result in its thread`;
    });
  });

/** "shared for tools declared read-only, exclusive for all others, first come first served, inside a turn by n; containers never take it" */
const lock: Law = (t) =>
  first(names(t.after), (name) => {
    const { live } = t.after.scopes[name] as System["scopes"][string];
    if (!live || t.before.scopes[name]?.live?.holders === live.holders) return;
    const tr = traceOf(t.after, name);
    const holders = live.holders.map((n) => stepAt(tr, n) as Step);
    if (holders.some((s) => isContainer(s) || s.outcome)) return `${name}: one without a claim holds the lock`;
    if (holders.length > 1 && holders.some((s) => modeOf(s) !== "shared"))
      return `${name}: an exclusive lock is shared`;
    const got = t.command.do === "lock" ? stepAt(tr, t.command.n) : undefined;
    const passed = pending(tr).find(
      (o) =>
        got &&
        isCall(o) &&
        !isContainer(o) &&
        o.n < got.n &&
        o.intent.links.turn !== undefined &&
        o.intent.links.turn === got.intent.links.turn &&
        !(modeOf(o) === "shared" && modeOf(got) === "shared") &&
        !live.holders.includes(o.n),
    );
    return got && passed ? `${name}: ${got.n} passed ${passed.n} of its turn` : undefined;
  });

/** "Capture and outcome are written before the lock is given back, so each step has one file delta": its own. */
const ownDelta: Law = (t) =>
  first(changedLogs(t), (name) => {
    const tr = t.m.traceOf(t.after, name);
    const had = t.before.scopes[name] ? t.m.traceOf(t.before, name).sealed.length : 0;
    return first(tr.sealed.slice(had), (s) => {
      if (s.commit.kind !== "tool") return;
      const prior = stateBefore(t, name, s);
      const wrote = t.written.get(`${name}:${s.n}`) ?? new Set();
      const alien = changed(prior.workspace, s.commit.state.workspace).filter(
        (p) => !wrote.has(p) && !t.after.forgotten.includes(prior.workspace[p] as number),
      );
      return alien.length ? `${name}:${s.n} is charged with ${alien}, which it did not write` : undefined;
    });
  });

// ---- tiers and doubt ------------------------------------------------------------------------------------------------------

/** "final at the outcome: the higher of declared and observed" */
const finalTier: Law = (t) =>
  first(changedLogs(t), (name) =>
    first(traceOf(t.after, name).steps, (s) => {
      const tier = s.outcome?.facts.tier;
      if (!tier) return;
      const acted = t.after.world.filter((a) => a.does === "act" && a.scope === name && a.n === s.n).map((a) => a.tier);
      return [s.intent.facts.tier, tierOf(s), ...acted].some((x) => rank(x) > rank(tier))
        ? `${name}:${s.n} ended below its tier`
        : undefined;
    }),
  );

/** "In doubt: reversible → roots back, again as a new attempt; repeatable → new attempt; compensable → compensate once, then ask; irreversible → ask." */
const doubt: Law = (t) => {
  const { command: c } = t;
  if (c.do !== "recover" || !accepted(t)) return;
  const tr = traceOf(t.after, c.scope);
  const live = t.after.scopes[c.scope]?.live;
  const tools = t.after.world
    .slice(t.before.world.length)
    .filter((a) => a.does === "act" && kindOf(stepAt(tr, a.n) as Step) !== "model");
  if (tools.length) return "recovery acted by itself";
  return first(live ? pending(tr) : [], (s) => {
    const was = stepAt(traceOf(t.before, c.scope), s.n) as Step;
    if (!isCall(s) && kindOf(s) !== "model") return `${s.n} was left half done`;
    if (kindOf(s) === "model" && s.parts.some((p) => "block" in p.facts)) return `${s.n} has blocks and was not cut`;
    if (!isCall(s) || rank(tierOf(s)) < rank("compensable") || (tierOf(s) === "irreversible" && !isAllowed(tr, s.n)))
      return attempt(s) === attempt(was) + 1 ? undefined : `${s.n} was not attempted again`;
    if (!live?.asked.includes(s.n) || attempt(s) !== attempt(was)) return `nobody was asked about ${s.n}`;
    const mine = (x: Effect | { scope: Name; n: number; attempt: number }) =>
      x.scope === c.scope && x.n === s.n && x.attempt === attempt(s);
    const undone = t.after.world.filter((a) => a.does === "compensate" && mine(a)).length;
    return undone === (tierOf(s) === "compensable" ? 1 : 0) ? undefined : `${s.n} was compensated ${undone} times`;
  });
};

/** "A log has one writer at a time": none of an old owner's frames counts once the new one has read the log. */
const oneWriter: Law = (t) => {
  if (t.command.do !== "stale" || !("ok" in t.reply) || t.reply.ok !== "counted") return;
  return t.before.scopes[t.command.scope]?.live ? "two owners write" : undefined;
};

/** A model call with blocks passed on is never attempted again. */
const cutNotRepeated: Law = (t) =>
  first(changedLogs(t), (name) =>
    first(traceOf(t.after, name).steps, (s) => {
      const at = s.parts.findIndex((p) => "block" in p.facts);
      return kindOf(s) === "model" && at >= 0 && s.parts.slice(at).some((p) => "attempt" in p.facts)
        ? `${name}:${s.n} was asked twice`
        : undefined;
    }),
  );

/** "only that scope compensates it", "once, in reverse order" */
const compensation: Law = (t) => {
  const c = acting(t);
  const by = "scope" in c ? c.scope : undefined;
  const done = t.after.world.filter((a) => a.does === "compensate");
  if (new Set(done.map((a) => `${a.scope}:${a.n}:${a.attempt}`)).size < done.length) return "compensated twice";
  let last = Number.POSITIVE_INFINITY;
  return first(pairs(t), ([a, b]) =>
    first(b.world.slice(a.world.length), (x) => {
      if (x.does !== "compensate") return;
      if (x.tier !== "compensable") return `${x.scope}:${x.n} cannot be compensated`;
      const e = effects(a).find((e) => e.scope === x.scope && e.n === x.n && e.attempt === x.attempt);
      const whose = e ? owner(a, e).scope : x.scope;
      if (whose !== by) return `${by} compensated ${x.scope}:${x.n}, which is ${whose}'s`;
      if (c.do === "recover") return;
      const seq = e?.time ?? 0;
      if (seq > last) return "compensated in the order of performance";
      last = seq;
      return;
    }),
  );
};

/** "Revert(n) appends a step whose state is state(n)"; what it passes is compensated, or acknowledged. */
const reverts: Law = (t) => {
  const { command: c } = t;
  if (c.do === "discard" && accepted(t)) return settledPast(t, c.scope, -1);
  if (c.do !== "revert" || !accepted(t)) return;
  const at = find(t.before, c.scope, c.n);
  const tr = t.m.traceOf(t.after, c.scope);
  const head = tr.sealed.at(-1);
  if (!at || head?.commit.kind !== "revert") return "a revert without its step";
  if (!same(head.commit.state.threads, at.step.commit.state.threads)) return "a revert left the conversation";
  if (forgetful(t, at.step.commit.state.workspace, head.commit.state.workspace)) return "a revert left files";
  if (unsealed(tr).length) return "a revert left something running";
  const position = positionIn(c.scope, at);
  if (!c.acknowledge && ownedPast(t.after, c.scope, position).some((e) => e.tier === "irreversible"))
    return "a revert passed an irreversible effect";
  const kept = new Set(tr.sealed.slice(0, position + 1).map((s) => s.n));
  const wrongly = t.after.world
    .slice(t.before.world.length)
    .find((a) => a.does === "compensate" && a.scope === c.scope && kept.has(a.n));
  return wrongly ? `a revert compensated ${wrongly.n}, which it did not pass` : settledPast(t, c.scope, position);
};
const settledPast = (t: Transition, name: Name, position: number): Verdict =>
  first(ownedPast(t.after, name, position), (e) =>
    e.tier !== "compensable" || isCompensated(t.after, e) ? undefined : `${e.scope}:${e.n} was not compensated`,
  );
/** Whether `is` differs from `should` in more than destroyed contents. */
const forgetful = (t: Transition, should: Workspace, is: Workspace): boolean =>
  changed(should, is).some((p) => is[p] !== undefined || !t.after.forgotten.includes(should[p] as number));

export const rules: { readonly [name: string]: Law } = {
  "a refusal changes nothing": refusedChangesNothing,
  sealing,
  threads,
  answers,
  lock,
  "own delta": ownDelta,
  "final tier": finalTier,
  doubt,
  "one writer": oneWriter,
  "a cut is not repeated": cutNotRepeated,
  compensation,
  reverts,
};
