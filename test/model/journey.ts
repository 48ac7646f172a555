/** A guided sequence of commands on a machine, judged step by step. */
import { dice } from "./dice.ts";
import { pick } from "./guided.ts";
import {
  acting,
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
import { mergesCommute, merging } from "./merging.ts";
import { preludes } from "./preludes.ts";
import { rules } from "./rules.ts";
import type { Command, System } from "./types.ts";

export interface Journey {
  readonly commands: readonly Command[];
  /** `COMMAND REPLY` of each. */
  readonly hits: readonly string[];
  readonly verdict: Verdict;
  readonly end: System;
}
const every = Object.entries({ ...laws, ...rules, ...merging });

/** `length` commands from a seed, after the prelude that the seed chooses; `whole`: judged as a whole too. */
export function journey(m: Machine, seed: number, length: number, whole = true): Journey {
  const d = dice(seed);
  const prelude = preludes[seed % preludes.length] ?? [];
  return travel(m, (sys, i) => (i < prelude.length + length ? (prelude[i] ?? pick(sys, d)) : undefined), whole);
}

/** The commands of a journey that breaks a law, without those that it does not take. */
export function shortest(m: Machine, commands: readonly Command[]): Journey {
  const again = (some: readonly Command[]) => travel(m, (_, i) => some[i]);
  let best = again(commands);
  for (let at = commands.length - 1; at >= 0; at--) {
    const without = again(best.commands.toSpliced(at, 1));
    if (without.verdict) best = without;
  }
  return best;
}

/** Goes on to the first law that is broken; the verdict names the law and the command. */
function travel(m: Machine, source: (sys: System, i: number) => Command | undefined, whole = true): Journey {
  const written = new Map<string, Set<string>>();
  const commands: Command[] = [];
  const systems: System[] = [m.initial({ a: 1, b: 2 })];
  const hits: string[] = [];
  for (let i = 0; ; i++) {
    const before = systems.at(-1) as System;
    const command = source(before, i);
    if (!command) break;
    const { trail, reply } = m.unfold(before, command);
    const after = trail.at(-1) ?? before;
    commands.push(command);
    systems.push(after);
    hits.push(`${command.do} ${"ok" in reply ? reply.ok : `! ${reply.refused}`}`);
    const t: Transition = { m, before, command, reply, trail, after, written };
    const c = acting(t);
    if (c.do === "write")
      written.set(`${c.scope}:${c.n}`, new Set([...(written.get(`${c.scope}:${c.n}`) ?? []), c.edit[0]]));
    const verdict = first(every, ([name, law]) => {
      const complaint = law(t);
      return complaint && `${name}: ${complaint}, by ${JSON.stringify(command)}`;
    });
    if (verdict) return { commands, hits, verdict, end: after };
  }
  return {
    commands,
    hits,
    verdict: whole ? passage({ m, commands, systems }) : undefined,
    end: systems.at(-1) as System,
  };
}

/** Laws over the whole of a journey. */
function passage(p: Passage): Verdict {
  const { m, commands, systems } = p;
  // In the midst of an operation what it has written is counted, an observer's note with it.
  const loss = commands.findIndex((c) => c.do === "crash" && (c.power || c.during !== undefined));
  const at = loss < 0 ? commands.length : loss;
  const after = systems.at(-1) as System;
  return (
    rebuilt(m, after) ??
    mergesCommute({ m, after }) ??
    observersAreInvisible({ m, commands: commands.slice(0, at), systems: systems.slice(0, at + 1) }) ??
    namesAndClockStandBeside(p)
  );
}
