/** Which command comes next, where both sides are to do it. */
import { performed } from "../adapter.ts";
import type { Dice } from "../dice.ts";
import { pick } from "../guided.ts";
import { isCall, isDiscarded, operations, pending, traceOf } from "../query.ts";
import { step } from "../step.ts";
import type { Command, Does, System } from "../types.ts";
import { leftOut, oneSided } from "./within.ts";

/** Without any of these there still is something to do. */
const sometimes: readonly Does[] = [
  ...(["block", "nest", "inject", "message", "fork", "revert", "merge", "sync", "undo", "discard"] as const),
  ...(["edit", "forget", "gc", "kill", "crash", "seize", "observe", "flush", "run", "act", "deny"] as const),
];

/** What chance alone would seldom come to. */
function seldom(sys: System): Command[] {
  return Object.keys(sys.scopes).flatMap((scope): Command[] => {
    const t = traceOf(sys, scope);
    const undos = operations(t).flatMap(({ undoes }, op) =>
      undoes === undefined ? [] : [{ do: "undo" as const, scope, op }],
    );
    const open = pending(t).filter(isCall);
    if (isDiscarded(t)) return [...undos, { do: "discard", scope }];
    return [...undos, ...open.map(({ n }) => ({ do: "fork" as const, scope, n, at: "intent" as const, k: 1 }))];
  });
}

/** Picks the next command, as one that the runtime has, if one is found soon. Each sequence does without some kinds, so that the others come to more. */
export function picker(d: Dice): (sys: System) => Command {
  const shunned = new Set(sometimes.filter(() => d.chance(30)));
  return (sys) => next(sys, d, shunned);
}

function next(sys: System, d: Dice, shunned: ReadonlySet<Does>): Command {
  for (let tries = 0; tries < 40; tries++) {
    const rare = d.chance(5) ? seldom(sys) : [];
    const picked = rare.length > 0 ? d.of(rare) : pick(sys, d);
    if (shunned.has(picked.do) && tries < 20) continue;
    const command =
      picked.do === "resolve"
        ? oneSided(sys, picked, d.chance(50) ? "ours" : "theirs")
        : picked.do === "merge" && picked.tell
          ? { ...picked, tell: false }
          : picked.do === "crash"
            ? ({ do: "crash", power: false, keep: picked.keep } as const)
            : picked;
    if (performed(command.do) && !leftOut(sys, command, step(sys, command)[1])) return command;
  }
  return { do: "status" };
}
