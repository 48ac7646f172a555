/** Commands whatever the state: most are refused. They show that every command has a reply, and find what a guided choice leaves out. */
import type { Dice } from "./dice.ts";
import { current, next, pending, traceOf } from "./query.ts";
import type { Command, Grant, Mode, Name, System, Tier } from "./types.ts";

const grants: readonly Grant[] = ["ask", "write", "act"];
const tiers: readonly Tier[] = ["reversible", "repeatable", "compensable", "irreversible"];
const modes: readonly Mode[] = ["exclusive", "shared", "container"];
const content = (d: Dice): number => 1 + d.int(6);

const onScope = (d: Dice, scope: Name): Command[] => [
  { do: "message", scope, text: d.int(3) },
  { do: "inject", scope, text: d.int(3) },
  { do: "run", scope, task: 0, grants },
  { do: "merge", scope },
  { do: "sync", scope },
  { do: "undo", scope },
  { do: "undo", scope, op: d.int(4) },
  { do: "discard", scope },
  { do: "observe", scope, by: "boss" },
  { do: "shrink", scope, grant: d.of(grants) },
  { do: "flush", scope },
  { do: "kill", scopes: [scope] },
  { do: "seize", scope },
  { do: "stale", scope, n: null },
  { do: "recover", scope },
];
const onThread = (d: Dice, scope: Name, thread: string): Command[] => [
  { do: "ask", scope, thread },
  { do: "block", scope, thread, block: { text: d.int(3) } },
  { do: "answer", scope, thread, ...(d.chance(50) ? { fail: true } : {}) },
  { do: "call", scope, thread, of: d.int(3) },
  { do: "resume", scope, thread },
];
const onStep = (d: Dice, scope: Name, n: number): Command[] => [
  { do: "nest", scope, inside: n, call: { tool: "nested", mode: d.of(modes), tier: "reversible" } },
  { do: "allow", scope, n },
  { do: "deny", scope, n, as: d.of(["denied", "not-run"] as const) },
  { do: "lock", scope, n },
  { do: "write", scope, n, edit: [d.of(["a", "b", "c"]), content(d)] },
  { do: "act", scope, n, tier: d.of(tiers) },
  { do: "end", scope, n, status: "done", output: 0 },
  { do: "fork", scope, n, at: d.of(["step", "intent"] as const), k: 1, grants },
  { do: "revert", scope, n },
  { do: "resolve", scope, n, choices: {} },
  { do: "replay", scope, n },
  { do: "stale", scope, n },
  { do: "decide", scope, n, as: d.of(["again", "drop", "happened"] as const) },
];
const onNothing = (d: Dice): Command[] => [
  { do: "status" },
  { do: "edit", edit: ["d", content(d)] },
  { do: "forget", content: content(d) },
  { do: "gc", retention: d.int(8) },
  { do: "crash", power: d.chance(50), keep: d.int(8) },
];
const threads = ["main", "aside", "main/1.0", "main/9.9"];

/** Steps of a scope worth a try: what is pending, the newest, the next, one of the prefix. */
function stepsOf(sys: System, scope: Name): number[] {
  if (!sys.scopes[scope]) return [0];
  const t = traceOf(sys, scope);
  return [...new Set([...pending(t).map((s) => s.n), next(t) - 1, next(t), t.first, 1])];
}

/** One of them. */
export function blind(sys: System, d: Dice): Command {
  const workers = Object.keys(sys.scopes).filter((name) => name !== "main");
  const scope = d.chance(15) || workers.length === 0 ? d.of(["nowhere", "main"]) : d.of(workers);
  const n = d.chance(70) ? d.of(stepsOf(sys, scope)) : d.int(9);
  return d.of([
    ...onScope(d, scope),
    ...onThread(d, scope, d.of(threads)),
    ...onStep(d, scope, n),
    ...onNothing(d).slice(2, 4),
  ]);
}

/** All of them, with arguments from the state. */
export const probes = (sys: System, d: Dice): Command[] => [
  ...onNothing(d),
  ...["nowhere", ...Object.keys(sys.scopes)].flatMap((scope) => [
    ...onScope(d, scope),
    ...threads.flatMap((thread) => onThread(d, scope, thread)),
    ...(sys.scopes[scope] ? current(traceOf(sys, scope), "main").open : []).map(
      (of): Command => ({ do: "call", scope, thread: "main", of }),
    ),
    ...stepsOf(sys, scope).flatMap((n) => onStep(d, scope, n)),
  ]),
];
