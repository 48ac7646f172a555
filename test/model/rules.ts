/** The rules of DESIGN.md section 3 on sealing, the lock, tiers, doubt, undo, merge and main, as predicates over one transition. */
import { type Effect, effects, isCompensated, ownedPast, owner } from "./effects.ts";
import { ancestors, baseOf, commits } from "./graph.ts";
import { accepted, acting, changedLogs, first, type Law, names, pairs, type Transition, type Verdict } from "./laws.ts";
import {
  attempt,
  find,
  isCall,
  isContainer,
  kindOf,
  newest,
  operations,
  pending,
  positionIn,
  rank,
  tierOf,
  traceOf,
  unanswered,
  unsealed,
} from "./query.ts";
import { modeOf, type Sealed, type Step, stepAt, type Trace } from "./seal.ts";
import type { Name, State, System, Workspace } from "./types.ts";
import { changed, paths, same, workspace } from "./value.ts";

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
function stateBefore(t: Transition, name: Name, s: Sealed): State {
  const tr = t.m.traceOf(t.after, name);
  const at = tr.sealed.findIndex((x) => x.n === s.n);
  return tr.sealed[at - 1]?.commit.state ?? tr.header.origin?.state ?? { workspace: {}, threads: {} };
}

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
    if (!isCall(s) || rank(tierOf(s)) < rank("compensable"))
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

// ---- undo, merge, sync ----------------------------------------------------------------------------------------------------

/** "the newest that is neither undone nor an undo, so a second `undo` goes one further" */
const undoTakesTheNewest: Law = (t) => {
  const { command: c } = t;
  if (c.do !== "undo" || !("ok" in t.reply)) return;
  const ops = operations(traceOf(t.before, c.scope));
  const target = c.op ?? newest(ops);
  const op = ops[target];
  if (!op) return "undid nothing";
  if (t.reply.ok === "conflict") return;
  const did = operations(traceOf(t.after, c.scope)).at(-1);
  if (did?.undoes !== target) return `undid ${did?.undoes}, not ${target}`;
  if (op.n === null) return;
  // What changed since stays, or is a conflict.
  const tr = t.m.traceOf(t.after, c.scope);
  const at = tr.sealed.findIndex((s) => s.n === op.n);
  const [past, then, now] = [
    tr.sealed[at - 1]?.commit.state,
    tr.sealed[at]?.commit.state,
    tr.sealed.at(-2)?.commit.state,
  ];
  if (!past || !then || !now || t.after.forgotten.length || (c.scope === "main" && c.race)) return;
  const { wanted, torn } = pointwise(then.workspace, now.workspace, past.workspace);
  if (torn.length) return `${torn} changed since, and was taken back`;
  if (!same(tr.state.workspace, workspace(wanted))) return "an undo came to other files";
  return !same(then, now) || same(tr.state.threads, past.threads) ? undefined : "an undo left the conversation";
};

/** "whenever a new instruction is given, each [open call] is answered" */
const instructionsAnswer: Law = (t) => {
  const { command: c } = t;
  if (c.do !== "message" || !accepted(t)) return;
  return unanswered(t.m.traceOf(t.after, c.scope), "main") ? "a message left calls open" : undefined;
};

/** 1. "revert, discard and merge add steps. All can be undone": tried at once after each. */
const allCanBeUndone: Law = (t) => {
  const { command: c, reply } = t;
  if (
    !["revert", "merge", "sync", "resolve", "discard"].includes(c.do) ||
    !("ok" in reply) ||
    reply.ok === "conflict" ||
    t.after.forgotten.length
  )
    return;
  const where = c.do === "merge" ? (t.after.scopes[c.scope]?.log.header.parent as Name) : (c as { scope: Name }).scope;
  const op = operations(traceOf(t.after, where)).length - 1;
  const [back, said] = t.m.step(t.after, { do: "undo", scope: where, op });
  if ("refused" in said && ["in-doubt", "down"].includes(said.refused)) return;
  // What was running is stopped by the undo; its last words may stand against it.
  if ("ok" in said && said.ok === "conflict" && pending(traceOf(t.after, where)).length) return;
  if (!("ok" in said) || said.ok === "conflict") return `${c.do} cannot be undone`;
  const tr = t.m.traceOf(t.after, where);
  if (where === "main") {
    // All but what the user saved meanwhile.
    const mine = c.do === "merge" ? c.race?.[0] : undefined;
    return changed(back.user, t.before.user).every((p) => p === mine) ? undefined : "undo of a landing left files";
  }
  const past = c.do === "discard" ? tr.state : stateBefore(t, where, tr.sealed.at(-1) as Sealed);
  const now = t.m.traceOf(back, where).state;
  const equal = pending(tr).length ? same(now.workspace, past.workspace) : same(now, past);
  return equal ? undefined : `undo of ${c.do} came to another state`;
};

/** The values that both sides changed, differently, and what a path comes to otherwise. */
function pointwise(
  base: Workspace,
  ours: Workspace,
  theirs: Workspace,
): { wanted: Array<[string, number | undefined]>; torn: string[] } {
  const all = paths(base, ours, theirs);
  const torn = all.filter((p) => ours[p] !== base[p] && theirs[p] !== base[p] && ours[p] !== theirs[p]);
  const wanted = all
    .filter((p) => !torn.includes(p))
    .map((p): [string, number | undefined] => [p, theirs[p] === base[p] ? ours[p] : theirs[p]]);
  return { wanted, torn };
}

/** "merge loses nothing"; its parents; who keeps the threads; a sync brings files only. */
const merges: Law = (t) => {
  const { command: c, reply } = t;
  if ((c.do !== "merge" && c.do !== "sync") || !("ok" in reply)) return;
  const parent = traceOf(t.before, c.scope).header.parent as Name;
  const [from, into] = c.do === "merge" ? [c.scope, parent] : [parent, c.scope];
  const tr = t.m.traceOf(t.after, into);
  const step = tr.sealed.at(-1) as Sealed;
  const prior = tr.sealed.at(-2)?.commit.state ?? (tr.header.origin?.state as State);
  const head = step.commit.parents[0] as string;
  const theirHead = t.m.traceOf(from === "main" ? t.after : t.before, from).head as string;
  const all = commits(t.after);
  const theirs = all.get(theirHead)?.state as State;
  const { wanted, torn } = pointwise(baseOf(all, head, theirHead), prior.workspace, theirs.workspace);
  const raced = c.do === "merge" && into === "main" && c.race ? c.race[0] : undefined;
  if (reply.ok === "conflict") {
    const listed = Object.keys(step.commit.outcome.conflict ?? {});
    if (torn.length && (!same(listed, torn) || !same(step.commit.state, prior)))
      return "a conflict is not the parent's state with the overlap";
    if (!torn.length && !same(listed, [raced])) return `a conflict without an overlap: ${listed}`;
    return step.commit.parents.length === 1 ? undefined : "a conflict counts as merged";
  }
  if (torn.length) return `overlapping changes of ${torn} were merged silently`;
  if (!same(step.commit.parents, [head, theirHead])) return "a merge does not name what it merged";
  const got = step.commit.state.workspace;
  const lost = wanted.filter(
    ([p, value]) => got[p] !== value && !(got[p] === undefined && t.after.forgotten.includes(value as number)),
  );
  if (lost.length) return `a merge lost ${lost.map(([p]) => p)}`;
  const moved = !ancestors(all, theirHead).has(head) || unsealed(traceOf(t.before, into)).length > 0;
  const adopts = c.do === "merge" && into !== "main" && !moved;
  if (adopts)
    return same(step.commit.state.threads, theirs.threads)
      ? undefined
      : "a parent that has not moved did not adopt the threads";
  const told = c.do === "merge" && c.tell && into !== "main";
  const own = told ? { ...prior.threads, main: step.commit.state.threads.main } : prior.threads;
  return same(step.commit.state.threads, own) ? undefined : "threads were taken over";
};

/** "disjoint changes commute": two children of one scope merge to the same files in both orders, or conflict in both. */
export const mergesCommute = (t: Pick<Transition, "m" | "after">): Verdict => {
  const ready = names(t.after).filter((n) => {
    const { parent } = traceOf(t.after, n).header;
    return (
      parent !== null &&
      t.after.scopes[n]?.live &&
      t.after.scopes[parent]?.live &&
      unsealed(traceOf(t.after, n)).length === 0
    );
  });
  const couples = ready.flatMap((a) =>
    ready
      .filter((b) => a < b && traceOf(t.after, a).header.parent === traceOf(t.after, b).header.parent)
      .map((b) => [a, b] as const),
  );
  return first(couples.slice(0, 4), ([a, b]) => {
    const parent = traceOf(t.after, a).header.parent as Name;
    const both = [
      [a, b],
      [b, a],
    ].map((order) => {
      let sys = t.after;
      const replies = order.map((scope) => {
        const [after, reply] = t.m.step(sys, { do: "merge", scope });
        sys = after;
        return "ok" in reply && reply.ok !== "conflict";
      });
      return replies.every(Boolean) ? t.m.traceOf(sys, parent).state.workspace : null;
    });
    return both[0] && both[1] && !same(both[0], both[1]) ? `merges of ${a} and ${b} do not commute` : undefined;
  });
};

/** 6. An effect has one owner: after a merge the scope that adopted it. */
const adoption: Law = (t) => {
  const { command: c, reply } = t;
  if (c.do !== "merge" || !("ok" in reply) || (reply.ok !== "merged" && reply.ok !== "adopted")) return;
  const parent = traceOf(t.before, c.scope).header.parent as Name;
  const mine = effects(t.before).filter((e) => owner(t.before, e).scope === c.scope);
  return first(mine, (e) => (owner(t.after, e).scope === parent ? undefined : `${e.scope}:${e.n} was not adopted`));
};

// ---- main -----------------------------------------------------------------------------------------------------------------

/** "`run status diff merge sync undo` and landing look at main first": what the user had then is a commit of main. */
const mainIsLookedAt: Law = (t) => {
  const { command: c } = t;
  if (!accepted(t) || !["run", "status", "merge", "sync", "resolve"].includes(c.do)) return;
  const had = t.m.traceOf(t.before, "main").sealed.length;
  const seen = t.m.traceOf(t.after, "main").sealed.slice(had - 1);
  return seen.some((s) => same(s.commit.state.workspace, t.before.user)) ? undefined : `${c.do} did not look at main`;
};

/** A landing never loses a save of the user's: "displaced bytes stay in the store", and what was saved meanwhile stays in place. */
const noSaveIsLost: Law = (t) => {
  const c = acting(t);
  if (t.after.staged && t.after.scopes.main?.live) return "a staging directory was left behind";
  if (c.do === "edit") return;
  const race = "race" in c && c.race && c.race[1] !== (t.before.user[c.race[0]] ?? null) ? c.race : undefined;
  let saved = false;
  return first(pairs(t), ([a, b]) =>
    first(changed(a.user, b.user), (p) => {
      if (saved && p === race?.[0]) return `what the user saved in ${p} was overwritten`;
      saved ||= p === race?.[0] && (b.user[p] ?? null) === race[1];
      return saved || traceOf(a, "main").state.workspace[p] === a.user[p] ? undefined : `the old ${p} is in no commit`;
    }),
  );
};

/** "`forget` destroys bytes for good": they come back to no place where they are not. */
const forgottenStaysGone: Law = (t) =>
  first(names(t.after), (name) => {
    const [was, is] = [t.before.scopes[name]?.live?.workspace ?? {}, t.after.scopes[name]?.live?.workspace ?? {}];
    if (t.command.do === "write" || was === is) return;
    const back = Object.entries(is).filter(([p, content]) => t.after.forgotten.includes(content) && was[p] !== content);
    return back.length ? `${name}: ${back.map(([p]) => p)} came back` : undefined;
  }) ?? (t.command.do === "forget" && t.before.scopes !== t.after.scopes ? "forgetting changed a log" : undefined);

export const rules: { readonly [name: string]: Law } = {
  "a refusal changes nothing": refusedChangesNothing,
  sealing,
  threads,
  lock,
  "own delta": ownDelta,
  "final tier": finalTier,
  doubt,
  "one writer": oneWriter,
  "a cut is not repeated": cutNotRepeated,
  compensation,
  reverts,
  "instructions answer": instructionsAnswer,
  "undo takes the newest": undoTakesTheNewest,
  "all can be undone": allCanBeUndone,
  merges,
  adoption,
  "main is looked at": mainIsLookedAt,
  "no save is lost": noSaveIsLost,
  "forgotten stays gone": forgottenStaysGone,
};
