/** Small things that tests of the model share. */
import { step } from "./step.ts";
import type { Command, Refusal, System } from "./types.ts";

/** The system after commands that must all be accepted. */
export function play(sys: System, commands: readonly Command[]): System {
  for (const command of commands) {
    const [after, reply] = step(sys, command);
    if ("refused" in reply) throw new Error(`${JSON.stringify(command)} was refused: ${reply.refused}`);
    sys = after;
  }
  return sys;
}

/** Why a command is refused. */
export function refusal(sys: System, command: Command): Refusal | undefined {
  const [, reply] = step(sys, command);
  return "refused" in reply ? reply.refused : undefined;
}
