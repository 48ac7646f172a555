/** Every (command, reply) pair that can be reached, accepted or refused (`!`). */
import type { Does } from "./types.ts";

const replies: { readonly [K in Does]: string } = {
  act: "ok !acted !container !discarded !down !gate !grant !in-doubt !main !no-call !no-scope !no-step !no-undo !not-holding !settled",
  allow: "ok !container !discarded !down !in-doubt !main !no-call !no-scope !no-step !nothing !settled",
  answer: "cut ok !discarded !down !main !no-model !no-scope",
  ask: "ok !busy !discarded !down !grant !main !no-scope !open-calls !thread",
  block: "ok !discarded !down !main !no-model !no-scope",
  call: "ok !discarded !down !main !no-call !no-scope !order !thread",
  crash: "ok",
  decide: "ok !compensated !discarded !down !main !no-scope !no-step !nothing !settled",
  deny: "ok !busy !discarded !down !in-doubt !inside !main !no-call !no-scope !no-step !settled",
  discard: "ok !discarded !down !in-doubt !main !no-scope",
  edit: "ok",
  end: "ok !discarded !down !in-doubt !inside !main !no-call !no-scope !no-step !not-holding !settled",
  flush: "ok !discarded !down !no-scope",
  forget: "ok !nothing",
  fork: "ok !discarded !down !forgotten !grant !main !no-scope !no-step !unsealed",
  gc: "ok taken",
  inject: "ok !discarded !down !main !no-scope",
  kill: "ok !down !no-scope",
  lock: "ok !container !discarded !down !gate !in-doubt !main !no-call !no-scope !no-step !nothing !settled !waiting",
  merge: "adopted conflict landed merged !busy !discarded !down !forgotten !main !no-scope !nothing",
  message: "ok !busy !discarded !down !main !no-scope",
  nest: "ok !discarded !down !in-doubt !main !no-call !no-scope !no-step !settled",
  observe: "ok !attached !discarded !down !main !no-scope",
  recover: "asked ok !discarded !no-scope !up",
  replay: "ok !no-scope !no-step",
  resolve: "ok !busy !conflict !discarded !down !forgotten !no-scope !no-step !nothing !settled",
  resume: "dropped performed !busy !discarded !down !main !no-scope !nothing !thread",
  revert: "ok !discarded !down !forgotten !in-doubt !irreversible !main !no-scope !no-step !unsealed",
  run: "ok !down !exists !forgotten",
  seize: "ok !down !main !no-scope",
  shrink: "ok !discarded !down !grant !main !no-scope",
  stale: "counted fenced !no-scope !not-holding !nothing",
  status: "external ok !down",
  sync: "conflict ok !discarded !down !forgotten !main !no-scope !nothing !unsealed !waiting",
  undo: "conflict ok restored !discarded !down !expired !forgotten !in-doubt !no-op !no-scope !nothing !undone",
  write:
    "ok !container !discarded !down !grant !in-doubt !main !no-call !no-scope !no-step !not-holding !settled !shared",
};

/** What random journeys seldom come to, and a test of its own does. */
export const seldom: readonly string[] = ["resolve ! undone"];

export const reachable: readonly string[] = Object.entries(replies).flatMap(([does, all]) =>
  all.split(" ").map((reply) => `${does} ${reply.replace("!", "! ")}`),
);
