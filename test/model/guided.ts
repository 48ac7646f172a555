/**
 * Picks the next command from the model's own state: of what is applicable, any kind with equal chance within its weight, and now and then
 * something that likely is not. Blind generation would hardly ever reach a merge.
 */
import type { Dice } from "./dice.ts";
import { mayLock } from "./lock.ts";
import { blind } from "./probes.ts";
import {
  current,
  grantsOf,
  innerThread,
  isAllowed,
  isCall,
  isContainer,
  isDiscarded,
  openInside,
  operations,
  pending,
  pendingModel,
  traceOf,
  unanswered,
  unsealed,
} from "./query.ts";
import { stepAt, type Trace } from "./seal.ts";
import type { Block, Call, Command, Does, Edit, Grant, Mode, Name, Scope, System, Tier } from "./types.ts";
import { changed } from "./value.ts";

const paths = ["a", "b", "c"];
const grants: readonly Grant[] = ["ask", "write", "act"];
/** Names that occur nowhere else, so that a law can look for them in commits. */
const runNames = ["amber", "birch"];
const modes: readonly Mode[] = ["exclusive", "exclusive", "shared", "container"];
const tiers: readonly Tier[] = [
  "reversible",
  "reversible",
  "reversible",
  "repeatable",
  "compensable",
  "compensable",
  "irreversible",
];

const anyEdit = (d: Dice): Edit => [d.of(paths), d.chance(15) ? null : 1 + d.int(6)];
function anyCall(d: Dice): Call {
  const mode = d.of(modes);
  return { tool: mode, mode, tier: mode === "container" ? "reversible" : d.of(tiers) };
}
const anyBlock = (d: Dice): Block => (d.chance(12) ? { text: d.int(3) } : { call: anyCall(d) });
const someGrants = (d: Dice, from: readonly Grant[]): Grant[] => from.filter(() => d.chance(85));

interface Seen {
  readonly sys: System;
  readonly d: Dice;
  /** Scopes of workers, with an owner. */
  readonly up: ReadonlyArray<readonly [Name, Trace, NonNullable<Scope["live"]>]>;
  readonly all: readonly Name[];
}
type Make = (s: Seen) => Command[];
const each = <T>(s: Seen, make: (name: Name, t: Trace, live: NonNullable<Scope["live"]>) => T[]): T[] =>
  s.up.flatMap((u) => make(...u));
const threadsOf = (t: Trace): string[] => ["main", "aside", ...pending(t).flatMap((s) => innerThread(t, s) ?? [])];
const when = <T>(condition: boolean, value: T): T[] => (condition ? [value] : []);
const calls = (t: Trace) => pending(t).filter(isCall);
const numbers = (t: Trace): number[] => Array.from({ length: t.first + t.steps.length }, (_, n) => n);

/** For each kind of command: how often, and what is applicable. */
const kinds: { readonly [K in Does]: readonly [weight: number, make: Make] } = {
  run: [
    3,
    (s) =>
      runNames
        .filter((n) => !s.sys.names.includes(n))
        .slice(0, 1)
        .map((scope) => ({
          do: "run",
          scope,
          task: s.d.int(2),
          grants: s.d.chance(80) ? grants : someGrants(s.d, grants),
          ...partial(s),
        })),
  ],
  ask: [
    14,
    (s) =>
      each(s, (scope, t) =>
        threadsOf(t)
          .filter((th) => !pendingModel(t, th) && (!unanswered(t, th) || s.d.chance(10)))
          .map((thread) => ({ do: "ask", scope, thread })),
      ),
  ],
  block: [
    40,
    (s) =>
      each(s, (scope, t) =>
        threadsOf(t).flatMap((thread) =>
          when((pendingModel(t, thread)?.parts.length ?? 9) < 3, { do: "block", scope, thread, block: anyBlock(s.d) }),
        ),
      ),
  ],
  answer: [
    14,
    (s) =>
      each(s, (scope, t) =>
        threadsOf(t).flatMap((thread) =>
          when(!!pendingModel(t, thread), { do: "answer", scope, thread, ...(s.d.chance(10) ? { fail: true } : {}) }),
        ),
      ),
  ],
  call: [
    50,
    (s) =>
      each(s, (scope, t) =>
        threadsOf(t).flatMap((thread) =>
          current(t, thread)
            .open.slice(0, 1)
            .map((of) => ({ do: "call", scope, thread, of })),
        ),
      ),
  ],
  nest: [
    8,
    (s) =>
      each(s, (scope, t) =>
        calls(t)
          .filter(isContainer)
          .map((c) => ({ do: "nest", scope, inside: c.n, call: anyCall(s.d) })),
      ),
  ],
  allow: [
    30,
    (s) =>
      each(s, (scope, t) =>
        calls(t)
          .filter(
            (c) => !isContainer(c) && !isAllowed(t, c.n) && (c.intent.facts.tier === "irreversible" || s.d.chance(15)),
          )
          .map((c) => ({ do: "allow", scope, n: c.n })),
      ),
  ],
  deny: [
    6,
    (s) =>
      each(s, (scope, t, live) =>
        calls(t)
          .filter((c) => !live.holders.includes(c.n))
          .map((c) => ({ do: "deny", scope, n: c.n, as: s.d.of(["denied", "not-run"] as const) })),
      ),
  ],
  lock: [
    60,
    (s) =>
      each(s, (scope, t, live) =>
        calls(t)
          .filter((c) => !isContainer(c) && !live.holders.includes(c.n) && (mayLock(t, live, c) || s.d.chance(20)))
          .map((c) => ({ do: "lock", scope, n: c.n })),
      ),
  ],
  write: [
    40,
    (s) =>
      each(s, (scope, t, live) =>
        live.holders
          .filter((n) => stepAt(t, n)?.intent.facts.call?.mode === "exclusive")
          .map((n) => ({ do: "write", scope, n, edit: anyEdit(s.d) })),
      ),
  ],
  act: [
    30,
    (s) =>
      each(s, (scope, t, live) =>
        live.holders
          .filter((n) => !live.acted.includes(n))
          .map((n) => {
            const declared = stepAt(t, n)?.intent.facts.tier ?? "reversible";
            return {
              do: "act",
              scope,
              n,
              tier:
                s.d.chance(75) && declared !== "reversible"
                  ? declared
                  : s.d.of(["repeatable", "irreversible"] as const),
            };
          }),
      ),
  ],
  end: [
    45,
    (s) =>
      each(s, (scope, t, live) =>
        [
          ...live.holders,
          ...calls(t)
            .filter((c) => isContainer(c) && openInside(t, c.n).length === 0)
            .map((c) => c.n),
        ].map((n) => ({ do: "end", scope, n, status: s.d.chance(85) ? "done" : "failed", output: s.d.int(3) })),
      ),
  ],
  message: [
    4,
    (s) =>
      each(s, (scope, t) =>
        when(
          unsealed(t).every((x) => x.intent.facts.thread !== "main"),
          { do: "message", scope, text: s.d.int(3) },
        ),
      ),
  ],
  inject: [2, (s) => each(s, (scope) => [{ do: "inject", scope, text: s.d.int(3) }])],
  resume: [
    25,
    (s) =>
      each(s, (scope, t) =>
        threadsOf(t).flatMap((thread) =>
          when(!pendingModel(t, thread) && current(t, thread).open.length > 0, {
            do: "resume",
            scope,
            thread,
            ...(s.d.chance(50) ? {} : { open: s.d.of(["perform", "drop"] as const) }),
          }),
        ),
      ),
  ],
  fork: [
    6,
    (s) =>
      s.all.length > 6
        ? []
        : each(s, (scope, t) => [
            {
              do: "fork",
              scope,
              n: s.d.of(numbers(t)),
              at: s.d.chance(70) ? "step" : "intent",
              k: 1 + s.d.int(2),
              ...(s.d.chance(70) ? {} : { grants: someGrants(s.d, s.d.chance(80) ? grantsOf(t) : grants) }),
              ...partial(s),
            },
          ]),
  ],
  revert: [
    6,
    (s) =>
      each(s, (scope, t) => [
        { do: "revert", scope, n: s.d.of(numbers(t)), ...(s.d.chance(50) ? { acknowledge: true } : {}), ...partial(s) },
      ]),
  ],
  merge: [
    12,
    (s) =>
      each(s, (scope, t) =>
        when(unsealed(t).length === 0, {
          do: "merge",
          scope,
          ...(s.d.chance(20) ? { tell: true } : {}),
          ...(s.d.chance(40) ? { race: [s.d.of(plan(s, t)), 1 + s.d.int(6)] as Edit } : {}),
          ...partial(s),
        }),
      ),
  ],
  sync: [6, (s) => each(s, (scope) => [{ do: "sync", scope, ...partial(s) }])],
  resolve: [
    30,
    (s) =>
      ["main", ...s.up.map(([name]) => name)]
        .filter((n) => s.all.includes(n))
        .flatMap((scope) =>
          traceOf(s.sys, scope)
            .steps.filter((x) => x.outcome?.facts.status === "conflict")
            .slice(-1)
            .map((x) => ({
              do: "resolve",
              scope,
              n: x.n,
              choices: Object.fromEntries(paths.filter(() => s.d.chance(90)).map((p) => [p, s.d.int(6)])),
              ...partial(s),
            })),
        ),
  ],
  undo: [
    5,
    (s) =>
      s.all.flatMap((scope) => {
        const ops = operations(traceOf(s.sys, scope));
        return when(ops.length > 0, {
          do: "undo",
          scope,
          ...(s.d.chance(65) ? {} : { op: s.d.int(ops.length) }),
          ...(scope === "main" && s.d.chance(20) ? { race: anyEdit(s.d) } : {}),
          ...partial(s),
        });
      }),
  ],
  discard: [2, (s) => each(s, (scope) => [{ do: "discard", scope }])],
  status: [1, () => [{ do: "status" }]],
  observe: [1, (s) => each(s, (scope) => [{ do: "observe", scope, by: s.d.of(["boss", "critic"]) }])],
  shrink: [1, (s) => each(s, (scope, t) => grantsOf(t).map((grant) => ({ do: "shrink", scope, grant })))],
  replay: [1, (s) => each(s, (scope, t) => [{ do: "replay", scope, n: s.d.of(numbers(t)) }])],
  edit: [4, (s) => [{ do: "edit", edit: anyEdit(s.d) }]],
  forget: [1, (s) => [{ do: "forget", content: 1 + s.d.int(6) }]],
  gc: [2, (s) => [{ do: "gc", retention: s.d.int(8) }]],
  flush: [1, (s) => each(s, (scope) => [{ do: "flush", scope }])],
  kill: [1, (s) => s.up.map(([scope]) => ({ do: "kill", scopes: [scope, ...when(s.d.chance(15), "main")] }))],
  crash: [
    3,
    (s) => {
      const next = s.d.chance(60) ? pick(s.sys, s.d, false) : undefined;
      const during = next && next.do !== "crash" ? { during: next, after: s.d.int(12) } : {};
      return [{ do: "crash", power: s.d.chance(40), keep: s.d.int(8), ...during }];
    },
  ],
  seize: [2, (s) => each(s, (scope) => [{ do: "seize", scope }])],
  stale: [
    30,
    (s) =>
      s.all.flatMap((scope) => {
        const { stale } = s.sys.scopes[scope] as Scope;
        return when(stale !== null, {
          do: "stale",
          scope,
          n: s.d.chance(80) ? (stale?.live.holders[0] ?? null) : null,
        });
      }),
  ],
  recover: [
    40,
    (s) =>
      s.all
        .filter((n) => !s.sys.scopes[n]?.live && (!isDiscarded(traceOf(s.sys, n)) || s.d.chance(3)))
        .map((scope) => ({ do: "recover", scope })),
  ],
  decide: [
    25,
    (s) =>
      each(s, (scope, _, live) =>
        live.asked.map((n) => ({ do: "decide", scope, n, as: s.d.of(["again", "drop", "happened"] as const) })),
      ),
  ],
};
/** Paths that a landing of this scope may exchange; any, if there are none. */
function plan(s: Seen, t: Trace): string[] {
  const differing = changed(s.sys.user, t.roots);
  return differing.length ? differing : paths;
}
const partial = (s: Seen): { partial?: true } => (s.sys.forgotten.length && s.d.chance(60) ? { partial: true } : {});

function seen(sys: System, d: Dice): Seen {
  const all = Object.keys(sys.scopes);
  const up = all.flatMap((name) => {
    const t = traceOf(sys, name);
    const live = sys.scopes[name]?.live;
    return name !== "main" && live && !isDiscarded(t) ? [[name, t, live] as const] : [];
  });
  return { sys, d, up, all };
}

/** Every kind as often as it weighs. */
const drawn = Object.values(kinds).flatMap((kind) => Array.from({ length: kind[0] }, () => kind));

export function pick(sys: System, d: Dice, mayBeBlind = true): Command {
  const s = seen(sys, d);
  if (mayBeBlind && d.chance(12)) return blind(sys, d);
  if (s.up.length === 0 && d.chance(70)) {
    const start = [...kinds.recover[1](s), ...kinds.run[1](s)];
    if (start.length) return d.of(start);
  }
  for (;;) {
    const [, make] = drawn[d.int(drawn.length)] ?? kinds.status;
    const commands = make(s);
    if (commands.length) return d.of(commands);
  }
}
