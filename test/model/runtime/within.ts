/**
 * Which of the model's commands the runtime has today. What is left out, and why:
 *
 * - grants on asks, writes and acts (`shrink`; `run` and `fork` with fewer grants): the runtime grants paths;
 * - power loss in the midst: of what was not synced any part may survive, which is not for the model to know; at the end of sequences it is
 *   tried (power.ts);
 * - a crash in the midst of a command: the runtime ends a merge, sync or undo that was cut short as aborted, the model goes on with it; the
 *   tests of crashes kill each operation everywhere;
 * - what the worker, its plugin or the command line refuses before a scope hears of it;
 * - `tell` at a merge, and a merge into a scope in which something runs: its owner stops the worker first;
 * - operations on a scope that is down: the runtime takes it over as part of the operation, the model asks for `recover` first;
 * - calls that wait for the lock when their owner dies, and are compensable or were allowed: the runtime writes its consent down when they begin;
 *   and calls that were observed above their tier, in doubt: the runtime writes that tier with the outcome;
 * - the user's word that a call in doubt did happen, while another that had the lock has no commit: today's runtime has no such word, so nothing
 *   says which of the two is sealed first;
 * - `resolve` with a choice for each path (the runtime merges again with one side taken), and of an undo;
 * - states in which something was forgotten: nothing restores them `partial`ly yet;
 * - syncs that have to wait: they do wait;
 * - to begin a call while one before it in its turn is in doubt: the runtime does not go on with such a run.
 */
import { propose } from "../graph.ts";
import {
  current,
  heldLock,
  isAllowed,
  isCall,
  isDiscarded,
  pending,
  rank,
  tierOf,
  traceOf,
  unsealed,
} from "../query.ts";
import { modeOf, type Step, stepAt } from "../seal.ts";
import { step } from "../step.ts";
import type { Command, Does, Grant, Name, Of, Refusal, Reply, System, Workspace } from "../types.ts";
import { same } from "../value.ts";
import { isGone } from "./gone.ts";

/** Refusals that the runtime's functions make themselves. */
const refusals: { readonly [K in Does]?: readonly Refusal[] } = {
  run: ["exists"],
  fork: ["no-step", "unsealed"],
  revert: ["no-step", "unsealed", "irreversible"],
  merge: ["nothing"],
  sync: ["nothing"],
  undo: ["nothing", "no-op", "undone", "expired"],
  discard: ["discarded"],
  lock: ["waiting", "gate"],
  replay: ["no-step"],
  recover: ["up"],
};
const all: readonly Grant[] = ["ask", "write", "act"];

/** Why a command cannot be compared in this state; undefined if it can. */
export function leftOut(sys: System, command: Command, reply: Reply): string | undefined {
  if ("refused" in reply && !refusals[command.do]?.includes(reply.refused)) return "not the runtime's refusal";
  if ("scope" in command && sys.scopes[command.scope] && isGone(sys, command.scope)) return "its name is gone";
  return forgetful(sys, command, reply) ?? (rules[command.do] as Rule<Command> | undefined)?.(sys, command, reply);
}

type Rule<C> = (sys: System, command: C, reply: Reply) => string | undefined;
const unless = (is: boolean, why: string): string | undefined => (is ? undefined : why);
const nothingRuns = (sys: System, name: Name): boolean => unsealed(traceOf(sys, name)).length === 0;
const doubtful = (sys: System, name: Name, s: Step): boolean =>
  rank(tierOf(s)) > rank(s.intent.facts.tier) ||
  ((isAllowed(traceOf(sys, name), s.n) || tierOf(s) === "compensable") && !hasActed(sys, name, s));
/** Whether it holds the lock, or did when its last owner died. */
const hasActed = (sys: System, name: Name, { n }: Step): boolean => {
  const live = sys.scopes[name]?.live;
  return !live || live.holders.includes(n) || live.asked.includes(n);
};
const nothingAsked = (sys: System, name: Name, thread: string): string | undefined => {
  const t = traceOf(sys, name);
  const { turn } = current(t, thread);
  const asked = sys.scopes[name]?.live?.asked ?? [];
  return unless(!asked.some((n) => stepAt(t, n)?.intent.links.turn === turn), "the turn is in doubt");
};
const surelyKnown = (sys: System, names: readonly Name[]): string | undefined =>
  unless(
    names.every((name) => !sys.scopes[name] || !pending(traceOf(sys, name)).some((s) => doubtful(sys, name, s))),
    "something is in doubt that the runtime settles in another way",
  );

/** Beside a call in doubt that only reads, another that only reads would go on at once. */
const besideDoubt = (sys: System, scope: Name): string | undefined => {
  const [after] = step(sys, { do: "recover", scope });
  const t = traceOf(after, scope);
  const asked = after.scopes[scope]?.live?.asked ?? [];
  const turnOf = (n: number): number | undefined => stepAt(t, n)?.intent.links.turn;
  const beside = pending(t).some(
    (s) =>
      isCall(s) &&
      modeOf(s) === "shared" &&
      asked.some((n) => n < s.n && turnOf(n) !== undefined && turnOf(n) === s.intent.links.turn),
  );
  return unless(!beside, "the turn is in doubt");
};

const rules: { readonly [K in Does]?: Rule<Of<K>> } = {
  run: (sys, { scope, grants }, reply) =>
    unless(grants.length === all.length, "grants") ??
    unless("ok" in reply || sys.scopes[scope] !== undefined, "its name is gone"),
  decide: (sys, { scope, as }) =>
    unless(
      as !== "happened" || !unsealed(traceOf(sys, scope)).some((s) => isCall(s) && heldLock(s)),
      "what the user says of it has no place in the order of the lock",
    ),
  fork: (sys, { scope, grants }) =>
    unless(grants === undefined || grants.length === all.length, "grants") ??
    unless(
      sys.names.every(
        (name) => !name.startsWith(`${scope}.`) || (sys.scopes[name] !== undefined && !isGone(sys, name)),
      ),
      "a name is free again",
    ),
  shrink: () => "grants",
  call: (sys, { scope, thread }) => nothingAsked(sys, scope, thread),
  resume: (sys, { scope, thread }) => nothingAsked(sys, scope, thread),
  revert: (sys, { scope }, reply) =>
    unless(!("refused" in reply) || reply.refused !== "irreversible" || nothingRuns(sys, scope), "its worker stops"),
  merge: (sys, { scope, tell }, reply) =>
    unless(!tell, "tell") ??
    unless("ok" in reply || same(sys.user, traceOf(sys, "main").roots), "a look comes first") ??
    unless(nothingRuns(sys, traceOf(sys, scope).header.parent as Name), "something runs"),
  resolve: (sys, command) => {
    const { scope, n, choices } = command;
    const s = stepAt(traceOf(sys, scope), n) as Step;
    const { facts, links } = s.intent;
    if (facts.with === undefined) return "of an undo";
    if (!["ours" as const, "theirs" as const].some((side) => same(oneSided(sys, command, side).choices, choices)))
      return "a choice for each path";
    const from = links.child?.scope ?? (traceOf(sys, scope).header.parent as Name);
    if ([scope, from].includes("main") && !same(sys.user, traceOf(sys, "main").roots)) return "main has moved";
    if (!sys.scopes[from] || traceOf(sys, from).head !== facts.with) return "what it merges has moved";
    return unless(
      nothingRuns(sys, scope) && nothingRuns(sys, from) && !isDiscarded(traceOf(sys, from)),
      "something runs",
    );
  },
  sync: (sys, _, reply) => unless("ok" in reply || same(sys.user, traceOf(sys, "main").roots), "a look comes first"),
  forget: (sys, { content }) => {
    const now = [
      sys.user,
      ...Object.values(sys.scopes).flatMap((s) => [s.live?.workspace ?? {}, s.stale?.live.workspace ?? {}]),
    ];
    return unless(!now.some((w) => Object.values(w).includes(content)), "it would be stored again");
  },
  recover: (sys, { scope }, reply) =>
    besideDoubt(sys, scope) ??
    unless("ok" in reply || scope !== "main", "main has no owner") ??
    unless("refused" in reply || !isDiscarded(traceOf(sys, scope)), "a discard cut short"),
  kill: (sys, { scopes }) => surelyKnown(sys, scopes),
  seize: (sys, { scope }) => surelyKnown(sys, [scope]),
  crash: (sys, { power, during }) =>
    unless(!power, "power") ?? unless(!during, "in the midst") ?? surelyKnown(sys, Object.keys(sys.scopes)),
};

/** What would come to something else if nothing had been forgotten, or bring it back. */
function forgetful(sys: System, command: Command, reply: Reply): string | undefined {
  if (sys.forgotten.length === 0) return undefined;
  const edits = [("edit" in command && command.edit) || null, ("race" in command && command.race) || null];
  if (edits.some((edit) => edit && edit[1] !== null && sys.forgotten.includes(edit[1]))) return "forgotten";
  if (command.do === "forget") return undefined;
  const [after, otherwise] = step({ ...sys, forgotten: [] }, command);
  if (!same(reply, otherwise)) return "forgotten";
  const [mine] = step(sys, command);
  const files = (s: System): Workspace[] => [
    s.user,
    ...Object.values(s.scopes).map(({ live }) => live?.workspace ?? {}),
  ];
  return same(files(mine), files(after)) ? undefined : "forgotten";
}

/** As a user would say it here: with one side taken for all paths in conflict. */
export function oneSided(sys: System, command: Of<"resolve">, side: "ours" | "theirs"): Of<"resolve"> {
  const s = sys.scopes[command.scope] && stepAt(traceOf(sys, command.scope), command.n);
  if (!s || s.intent.facts.with === undefined) return command;
  const facts = { kind: "resolve", tier: "reversible", with: s.intent.facts.with } as const;
  const { conflict } = propose(sys, command.scope, -1, facts, s.intent.links);
  const choices = Object.fromEntries(
    Object.entries(conflict).map(([path, of]) => [path, (of[side] ?? null) as number | null]),
  );
  return { ...command, choices };
}
