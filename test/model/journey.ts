/** A guided sequence of commands on a machine, judged step by step. */
import { dice, pick } from "./guided.ts";
import {
  first,
  laws,
  type Machine,
  namesAndClockStandBeside,
  observersAreInvisible,
  rebuilt,
  type Transition,
  type Verdict,
} from "./laws.ts";
import { mergesCommute, rules } from "./rules.ts";
import type { Command, System } from "./types.ts";

export interface Journey {
  readonly commands: readonly Command[];
  /** `COMMAND REPLY` of each. */
  readonly hits: readonly string[];
  readonly verdict: Verdict;
}
const every = Object.entries({ ...laws, ...rules });

/** `length` commands from a seed. Ends at the first law broken; its verdict names the law and the command. */
export function journey(m: Machine, seed: number, length: number): Journey {
  const d = dice(seed);
  const start = m.initial({ a: 1, b: 2 });
  const written = new Map<string, Set<string>>();
  const commands: Command[] = [];
  const hits: string[] = [];
  let sys: System = start;
  for (let i = 0; i < length; i++) {
    const command = pick(sys, d);
    const { trail, reply } = m.unfold(sys, command);
    const after = trail.at(-1) ?? sys;
    commands.push(command);
    hits.push(`${command.do} ${"ok" in reply ? reply.ok : `! ${reply.refused}`}`);
    const during = command.do === "crash" && command.during ? command.during : command;
    if (during.do === "write") {
      const key = `${during.scope}:${during.n}`;
      written.set(key, new Set([...(written.get(key) ?? []), during.edit[0]]));
    }
    const t: Transition = { m, before: sys, command, reply, trail, after, written };
    const verdict = first(every, ([name, law]) => {
      const complaint = law(t);
      return complaint && `${name}: ${complaint}, by ${JSON.stringify(command)}`;
    });
    sys = after;
    if (verdict) return { commands, hits, verdict };
  }
  return { commands, hits, verdict: whole(m, start, sys, commands) };
}

/** Laws over the whole of a journey. */
function whole(m: Machine, start: System, end: System, commands: readonly Command[]): Verdict {
  const loss = commands.findIndex((c) => c.do === "crash" && c.power);
  const lossless = loss < 0 ? commands : commands.slice(0, loss);
  return (
    rebuilt(m, end) ??
    mergesCommute({ m, after: end }) ??
    observersAreInvisible(m, start, lossless) ??
    namesAndClockStandBeside(m, start, commands)
  );
}
