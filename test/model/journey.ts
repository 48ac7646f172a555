/** A guided sequence of commands on a machine, judged step by step. */
import { dice, pick, preludes } from "./guided.ts";
import {
  first,
  laws,
  type Machine,
  namesAndClockStandBeside,
  observersAreInvisible,
  type Passage,
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

/**
 * `length` commands from a seed, after the prelude that the seed chooses. Ends at the first law broken; its verdict names the law and the
 * command.
 */
export function journey(m: Machine, seed: number, length: number): Journey {
  const d = dice(seed);
  const prelude = preludes[seed % preludes.length] ?? [];
  const written = new Map<string, Set<string>>();
  const commands: Command[] = [];
  const systems: System[] = [m.initial({ a: 1, b: 2 })];
  const hits: string[] = [];
  for (let i = 0; i < prelude.length + length; i++) {
    const before = systems.at(-1) as System;
    const command = prelude[i] ?? pick(before, d);
    const { trail, reply } = m.unfold(before, command);
    const after = trail.at(-1) ?? before;
    commands.push(command);
    systems.push(after);
    hits.push(`${command.do} ${"ok" in reply ? reply.ok : `! ${reply.refused}`}`);
    const during = command.do === "crash" && command.during ? command.during : command;
    if (during.do === "write") {
      const key = `${during.scope}:${during.n}`;
      written.set(key, new Set([...(written.get(key) ?? []), during.edit[0]]));
    }
    const t: Transition = { m, before, command, reply, trail, after, written };
    const verdict = first(every, ([name, law]) => {
      const complaint = law(t);
      return complaint && `${name}: ${complaint}, by ${JSON.stringify(command)}`;
    });
    if (verdict) return { commands, hits, verdict };
  }
  return { commands, hits, verdict: whole({ m, commands, systems }) };
}

/** Laws over the whole of a journey. */
function whole(p: Passage): Verdict {
  const { m, commands, systems } = p;
  const loss = commands.findIndex((c) => c.do === "crash" && c.power);
  const at = loss < 0 ? commands.length : loss;
  const after = systems.at(-1) as System;
  return (
    rebuilt(m, after) ??
    mergesCommute({ m, after }) ??
    observersAreInvisible({ m, commands: commands.slice(0, at), systems: systems.slice(0, at + 1) }) ??
    namesAndClockStandBeside(p)
  );
}
