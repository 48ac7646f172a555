/** The option by which a run declares gates. */
import type { Task } from "../run/start.ts";
import { GUARD_DEFAULTS, type GuardDefault, type Guards, gateName, lowerGuards } from "../scope/guards.ts";
import { Exit } from "./errors.ts";
import { type Flags, list, type Option } from "./verb.ts";

export const GUARD_OPTION: { [name: string]: Option } = {
  guard: {
    type: "string",
    multiple: true,
    value: "GUARD",
    help: "NAME=HOW: a gate of the run, and what holds for calls while it is not there: allow, deny or wait",
  },
};

/** Throws a sentence where one cannot be meant. */
export function guardsOf(flags: Flags, task?: Task): Guards | undefined {
  const given = list(flags, "guard");
  if (given.length === 0) return undefined;
  if (task && task.worker !== "agent" && task.worker !== "plugin")
    throw new Exit(2, "--guard is for agents: a command is one step, and nobody is asked within it.");
  const guards: Guards = {};
  for (const each of given) {
    const [, name = "", holds = ""] = /^([^=]*)=(.*)$/.exec(each) ?? [];
    if (!GUARD_DEFAULTS.includes(holds as GuardDefault))
      throw new Exit(2, `--guard takes NAME=allow, NAME=deny or NAME=wait, not ${JSON.stringify(each)}.`);
    try {
      gateName(name);
    } catch (error) {
      throw new Exit(2, (error as Error).message);
    }
    if (guards[name] !== undefined) throw new Exit(2, `--guard names ${name} twice: leave one of them out.`);
    guards[name] = holds as GuardDefault;
  }
  return guards;
}

/** Throws where what goes on from a run asks for a laxer gate than that has. */
export function checkGuards(name: string, parent: Guards = {}, asked: Guards = {}): void {
  const lower = lowerGuards(parent, asked);
  const lax = Object.keys(asked).find((each) => lower[each] !== asked[each]);
  if (lax === undefined) return;
  const has = Object.hasOwn(parent, lax) ? `--guard ${lax}=${parent[lax]}` : `no gate ${lax}`;
  throw new Exit(3, `${name} has ${has}, so what goes on from it has no --guard ${lax}=${asked[lax]}.`);
}
