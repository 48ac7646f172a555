/** What sequences of commands must have met, so that it means something that nothing differed. */
import { commits, nearest } from "../graph.ts";
import { attempt, blocksOf, isCall, isContainer, kindOf, operations, pending, traceOf, unsealed } from "../query.ts";
import { type Step, stepAt } from "../seal.ts";
import type { Command, Name, Of, Reply, System } from "../types.ts";

/** Every command and reply of the model that is compared; what within.ts leaves out is not here. */
const replies = {
  act: "ok",
  allow: "ok",
  answer: "cut ok",
  ask: "ok",
  block: "ok",
  call: "ok",
  crash: "ok",
  decide: "ok",
  deny: "ok",
  discard: "ok !discarded",
  edit: "ok",
  end: "ok",
  flush: "ok",
  forget: "ok",
  fork: "ok !no-step !unsealed",
  gc: "ok taken",
  inject: "ok",
  kill: "ok",
  lock: "ok !gate !waiting",
  merge: "adopted conflict landed merged !nothing",
  message: "ok",
  nest: "ok",
  observe: "ok",
  recover: "asked ok !up",
  replay: "ok !no-step",
  resolve: "ok",
  resume: "dropped performed",
  revert: "ok !irreversible !no-step !unsealed",
  run: "ok !exists",
  seize: "ok",
  stale: "counted fenced",
  status: "external ok",
  sync: "conflict ok !nothing",
  undo: "conflict ok restored !expired !no-op !nothing !undone",
  write: "ok",
};
export const pairs: readonly string[] = Object.entries(replies).flatMap(([does, all]) =>
  all.split(" ").map((reply) => `${does} ${reply.replace("!", "! ")}`),
);

interface Passage {
  readonly before: System;
  readonly command: Command;
  readonly reply: Reply;
  readonly after: System;
}
type Met = (passage: Passage) => boolean;

/** A situation that only commands of one kind, and those that are accepted, come to. */
const by =
  <K extends Command["do"]>(does: K, met: (command: Of<K>, passage: Passage) => boolean): Met =>
  (passage) =>
    passage.command.do === does && "ok" in passage.reply && met(passage.command as Of<K>, passage);
const said = ({ reply }: Passage, what: string): boolean => "ok" in reply && reply.ok === what;
const step = (sys: System, scope: Name, n: number): Step | undefined => stepAt(traceOf(sys, scope), n);
/** What was taken back meanwhile, by the scope that had done it. */
const takenBack = ({ before, after }: Passage): Name[] =>
  after.world.slice(before.world.length).flatMap((a) => (a.does === "compensate" ? [a.scope] : []));
const attemptedAgain = ({ before, after }: Passage, scope: Name, is: (s: Step) => boolean): boolean =>
  pending(traceOf(after, scope)).some((s) => is(s) && attempt(s) > attempt(step(before, scope, s.n) ?? s));

const situations: { readonly [what: string]: Met } = {
  "a fork at the intent of a call that has no outcome": by("fork", ({ scope, n, at }, { before }) => {
    const s = step(before, scope, n);
    return at === "intent" && s !== undefined && isCall(s) && !s.outcome;
  }),
  "calls that only read have the lock together": by(
    "lock",
    ({ scope }, { after }) => (after.scopes[scope]?.live?.holders.length ?? 0) > 1,
  ),
  "a call ends while its message still comes": by("end", ({ scope, n }, { before }) => {
    const { turn } = step(before, scope, n)!.intent.links;
    return (
      turn !== undefined && step(before, scope, turn)?.outcome === undefined && turn >= traceOf(before, scope).first
    );
  }),
  "a call that has ended waits for its commit": by("end", ({ scope, n }, { after }) =>
    unsealed(traceOf(after, scope)).some((s) => s.n === n),
  ),
  "a call inside a container ends": by(
    "end",
    ({ scope, n }, { before }) => step(before, scope, n)?.intent.links.inside !== undefined,
  ),
  "a container ends": by("end", ({ scope, n }, { before }) => isContainer(step(before, scope, n)!)),
  "a model call without blocks is asked again": by("recover", ({ scope }, passage) =>
    attemptedAgain(passage, scope, (s) => kindOf(s) === "model"),
  ),
  "a model call with blocks ends as cut": by("recover", ({ scope }, { before }) =>
    pending(traceOf(before, scope)).some((s) => kindOf(s) === "model" && blocksOf(s).length > 0),
  ),
  "a call is attempted again": by("recover", ({ scope }, passage) => attemptedAgain(passage, scope, isCall)),
  "an effect in doubt is taken back, and asked about": by(
    "recover",
    (_, passage) => takenBack(passage).length > 0 && said(passage, "asked"),
  ),
  "a revert takes an effect back": by("revert", (_, passage) => takenBack(passage).length > 0),
  "a discard takes an effect back": by("discard", (_, passage) => takenBack(passage).length > 0),
  "a scope takes back what another did and it has merged": (passage) =>
    "scope" in passage.command &&
    takenBack(passage).some((name) => name !== (passage.command as { scope: Name }).scope),
  "a merge with several nearest bases": by("merge", ({ scope }, { before }) => {
    const { head, header } = traceOf(before, scope);
    const into = traceOf(before, header.parent as Name).head;
    return head !== null && into !== null && nearest(commits(before), into, head).length > 1;
  }),
  "a landing meets what the user saves meanwhile": by(
    "merge",
    ({ race }, passage) => race !== undefined && said(passage, "conflict"),
  ),
  "an undo takes an undo back": by("undo", ({ scope, op }, { before }) => {
    const which = op === undefined ? undefined : operations(traceOf(before, scope))[op];
    return which?.undoes !== undefined;
  }),
  "something goes on in a store in which something was forgotten": ({ before, command, reply }) =>
    before.forgotten.length > 0 && command.do !== "forget" && "ok" in reply,
  "siblings come to the same commit": by("end", ({ scope }, { after }) => {
    const { head } = traceOf(after, scope);
    return Object.keys(after.scopes).some((name) => name !== scope && traceOf(after, name).head === head);
  }),
};
export const allSituations: readonly string[] = Object.keys(situations);

/** What a command has met, of `pairs` and of `allSituations`. */
export const metBy = (passage: Passage): string[] => [
  `${passage.command.do} ${"ok" in passage.reply ? passage.reply.ok : `! ${passage.reply.refused}`}`,
  ...Object.entries(situations).flatMap(([what, met]) => (met(passage) ? [what] : [])),
];
