/** The rules of DESIGN.md section 3 on undo, merge, sync and main, as predicates over one transition. */
import { effects, owner } from "./effects.ts";
import { baseOf, commits, leftBehind, nearest, takenBack } from "./graph.ts";
import { accepted, acting, first, type Law, names, pairs, stateBefore, type Transition, type Verdict } from "./laws.ts";
import { newest, operations, pending, traceOf, unanswered, unsealed } from "./query.ts";
import type { Sealed } from "./seal.ts";
import type { Name, State, Workspace } from "./types.ts";
import { changed, paths, same, workspace } from "./value.ts";

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
  // What the user saved meanwhile.
  const mine = c.do === "merge" ? c.race?.[0] : undefined;
  const left = (user: Workspace): boolean => changed(user, t.before.user).every((p) => p === mine);
  // A landing of nothing is no operation.
  if (where === "main" && op < operations(traceOf(t.before, where)).length && left(t.after.user)) return;
  const [back, said] = t.m.step(t.after, { do: "undo", scope: where, op });
  if ("refused" in said && ["in-doubt", "down"].includes(said.refused)) return;
  // What was running is stopped by the undo; its last words may stand against it.
  if ("ok" in said && said.ok === "conflict" && pending(traceOf(t.after, where)).length) return;
  if (!("ok" in said) || said.ok === "conflict") return `${c.do} cannot be undone`;
  const tr = t.m.traceOf(t.after, where);
  if (where === "main") {
    return left(back.user) ? undefined : "undo of a landing left files";
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
  const theirs = all.get(theirHead)?.state;
  if (!theirs || !all.has(head)) return "a merge of what is not there";
  const sides = pointwise(baseOf(all, head, theirHead), prior.workspace, theirs.workspace);
  // An edit of the user's that the other side had and went back behind stays where it is, and is told.
  const edits = into === "main" ? leftBehind(all, theirHead) : new Set<string>();
  const kept = sides.wanted.filter(([p, value]) => edits.has(p) && value !== prior.workspace[p]).map(([p]) => p);
  const torn = [...sides.torn, ...kept].sort();
  const wanted = sides.wanted.filter(([p]) => !kept.includes(p));
  const raced = c.do === "merge" && into === "main" && c.race ? c.race[0] : undefined;
  if (reply.ok === "conflict") {
    const listed = Object.keys(step.commit.outcome.conflict ?? {}).sort();
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
  const moved = !same(nearest(all, head, theirHead), [head]) || unsealed(traceOf(t.before, into)).length > 0;
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
  const all = commits(t.after);
  return first(couples.slice(0, 4), ([a, b]) => {
    const parent = traceOf(t.after, a).header.parent as Name;
    // What one of them has, and was taken back elsewhere, is no disjoint change: it comes again with whichever brings it.
    const heads = [a, b, parent].flatMap((name) => t.m.traceOf(t.after, name).head ?? []);
    if (takenBack(all, ...heads).size > 0) return undefined;
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

export const merging: { readonly [name: string]: Law } = {
  "instructions answer": instructionsAnswer,
  "undo takes the newest": undoTakesTheNewest,
  "all can be undone": allCanBeUndone,
  merges,
  adoption,
  "main is looked at": mainIsLookedAt,
  "no save is lost": noSaveIsLost,
  "forgotten stays gone": forgottenStaysGone,
};
