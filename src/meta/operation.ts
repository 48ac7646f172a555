/**
 * Operations on a run, whatever it is a run of and whoever drives it. One table serves the tools of a model, the server of tools for models of others,
 * and whoever else acts for somebody that was given rights.
 */

import type { Right } from "../agent/run.ts";
import type { Input, Property } from "../agent/tools/tool.ts";
import type { Expected } from "../run/expect.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { cancel } from "./operations/cancel.ts";
import { discard } from "./operations/discard.ts";
import { fork } from "./operations/fork.ts";
import { handoff } from "./operations/handoff.ts";
import { inject } from "./operations/inject.ts";
import { land } from "./operations/land.ts";
import { merge } from "./operations/merge.ts";
import { observe } from "./operations/observe.ts";
import { pause } from "./operations/pause.ts";
import { replay } from "./operations/replay.ts";
import { resume } from "./operations/resume.ts";
import { revert } from "./operations/revert.ts";
import { snapshot } from "./operations/snapshot.ts";
import { spawn } from "./operations/spawn.ts";
import { sync } from "./operations/sync.ts";

export interface Actor {
  /** The run of the agent that acts, or the name of a person or program: stands in the log of the worker. */
  readonly who: string;
  readonly right: Right;
  /** In its own words: stands in the log of the worker. */
  readonly why?: string;
}

/** A run, whoever drives it. */
export interface Target {
  readonly store: EmbeddedStore;
  readonly name: string;
}

export interface Acting {
  /** Takes back what has not begun. What an operation has started goes on. */
  readonly signal: AbortSignal;
  /** The same for each attempt: what was made is not made again. */
  readonly key?: string;
  /** The step, or the commit, that it was decided on. Where the run stands elsewhere by now nothing is done, and `Conflict` is thrown. */
  readonly expect?: Expected;
  /** Whether the holder has a right over another run, by its name; without it none. */
  readonly may?: (name: string, right: Right) => Promise<boolean>;
}

export interface Operation {
  readonly name: string;
  /** What its holder must have been given, by name. */
  readonly right: Right;
  /** For a model: what it does, and when. */
  readonly brief: string;
  /** `why` and `expect` are for all that change something: `inputOf` adds them. */
  readonly input: { readonly properties: { readonly [name: string]: Property }; readonly optional: readonly string[] };
  readonly readOnly: boolean;
  /**
   * Does it. The input fits the schema. What it gives is masked where a view would be. Throws the family of errors: what is wrong with the call, or how
   * things stand; an error of another kind says that host or store are unfit.
   */
  act(on: Target, input: Input, by: Actor, acting: Acting): Promise<Json>;
  /** What it gave, in words for a model. What a worker wrote is quoted and bounded. */
  tell(done: Json): string;
}

/** By their names, those that only look first. */
export const OPERATIONS: { readonly [name: string]: Operation } = {
  snapshot,
  observe,
  inject,
  pause,
  resume,
  cancel,
  handoff,
  fork,
  revert,
  sync,
  merge,
  land,
  discard,
  replay,
  spawn,
};
