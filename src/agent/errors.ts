/** The one family of errors that the library throws. Each says of which run and step it is, and what can be done. */
import type { Doubt } from "../run/recover.ts";

export interface About {
  /** Name of the run; null where there is none yet. */
  run?: string | null;
  /** Number of the step. */
  step?: number | null;
  /** What can be done, as a sentence. */
  hint?: string;
  cause?: unknown;
}

export abstract class ShepherdError extends Error {
  readonly run: string | null;
  readonly step: number | null;
  readonly hint: string;
  constructor(message: string, { run = null, step = null, hint = "", cause }: About = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.run = run;
    this.step = step;
    this.hint = hint;
  }
}

/** A gate, or the default of a tier, did not let an effect pass. It has not acted. */
export class Denied extends ShepherdError {}

/** The run was stopped: by `cancel`, its signal, or an operation that restarts it. What it did so far stands, and it can be resumed. */
export class Cancelled extends ShepherdError {}

/** A limit of the run's budget is reached. What it did so far stands; resumed with more it goes on. */
export class OverBudget extends ShepherdError {}

/** An input, an output, a name or a definition is not what it must be. Nothing was done with it. */
export class Invalid extends ShepherdError {}

/** What was to be done does not fit how things stand: both sides changed a place, somebody else drives the run, a body asks for other than its log has. */
export class Conflict extends ShepherdError {}

/** The work itself did not succeed: a body or an effect threw, a model cannot answer. */
export class Failed extends ShepherdError {}

/** A crash left effects of which nobody knows whether they acted, and which cannot be repeated unasked. */
export class InDoubt extends ShepherdError {
  constructor(
    message: string,
    about: About,
    /** The steps in question; `compensated`: its undo has run, so it is only asked whether to do it after all. */
    readonly effects: readonly Doubt[],
  ) {
    super(message, about);
  }
}

const FAMILY = { Denied, Cancelled, OverBudget, Invalid, Conflict, Failed };

/** An error of the family by the name that a log has. */
export const errorNamed = (name: string, message: string, about: About): ShepherdError =>
  new (Object.hasOwn(FAMILY, name) ? FAMILY[name as keyof typeof FAMILY] : Failed)(message, about);

/** What errors of the inside are called outside. */
const NAMES: { [name: string]: { as: keyof typeof FAMILY; hint: string } } = {
  NameError: { as: "Invalid", hint: "" },
  StepError: { as: "Invalid", hint: "steps() lists the steps of a run." },
  ModelError: { as: "Failed", hint: "" },
  Moved: { as: "Conflict", hint: "" },
  Busy: { as: "Conflict", hint: "Wait until that process has ended, or observe the run from here." },
  NoOwner: { as: "Conflict", hint: "Nobody drives the run: resume it." },
  Unacknowledged: { as: "Conflict", hint: "Pass { acknowledge: true } to go on although these stand." },
  Refused: { as: "Conflict", hint: "" },
  NameTaken: { as: "Conflict", hint: "" },
  UndoFailed: {
    as: "Failed",
    hint: "Once it can be done, `revert`, `resume` or `discard` goes on with it; what was taken back stays so.",
  },
  Fenced: { as: "Conflict", hint: "" },
};

/** An error as users of the library know it. */
export function publicError(error: unknown, run: string | null): Error {
  if (error instanceof ShepherdError) return error;
  if (!(error instanceof Error)) return new Failed(String(error), { run });
  const type = (error as { type?: unknown }).type;
  const name = error.constructor.name === "OwnerError" && typeof type === "string" ? type : error.constructor.name;
  if (name === "InDoubt") {
    const hint = "Resume the run with `inDoubt`, which says of each what becomes of it, or revert behind or before it.";
    return new InDoubt(error.message, { run, hint }, (error as { doubts?: Doubt[] }).doubts ?? []);
  }
  const known = NAMES[name];
  return known ? new FAMILY[known.as](error.message, { run, hint: known.hint, cause: error }) : error;
}
