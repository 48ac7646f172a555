/** What a code body has: everything that it does goes through its context, and so is written down. */
import type { Callable } from "./agent.ts";
import type { DeclaredEffect, Effects } from "./effect.ts";
import type { InputOf, OutputOf } from "./schema.ts";

/** What came of a command. */
export interface BashResult {
  /** Null where it was ended by a signal or a limit. */
  readonly code: number | null;
  /** Its output and error streams together, as they came; of more than 16 MiB the beginning. */
  readonly output: string;
}

/** The effects of a definition, as functions. */
export type Performs<E extends Effects> = {
  readonly [K in keyof E]: E[K] extends DeclaredEffect<infer I, infer O>
    ? (input: InputOf<I>) => Promise<OutputOf<O>>
    : never;
};

/**
 * The context of a code body. Each call is a step of the run: its intent is written before it acts, its outcome before the body has it. After a
 * crash, a fork or a revert the body is run again from its beginning, and is given the outcomes that stand in the log, in the order in which they
 * came; so between these calls it must depend on nothing else: no clock, no random number, no file. Calls may overlap. A body that returns
 * waits for what it has begun. What is denied throws
 * `Denied`; what fails throws `Failed`; once the run is stopped all of them throw `Cancelled`.
 */
export interface Context<E extends Effects = Effects> {
  /** Name of the run. */
  readonly run: string;
  /** Aborts when the run is stopped. */
  readonly signal: AbortSignal;
  /** Performs a declared effect. Throws `Invalid` for an input that does not fit. */
  readonly do: Performs<E>;
  /**
   * Runs another agent in a scope of its own, that begins with the files of this run, and merges its files into this run when it is done.
   * Throws what that agent's result would, and `Conflict` where both have changed a place meanwhile.
   */
  call<I, O>(agent: Callable<I, O>, input: I): Promise<O>;
  /** Runs a command on the files of the run, in a shell that keeps its directory and variables from call to call. It does not throw where the command fails. */
  bash(command: string, options?: { timeoutMs?: number }): Promise<BashResult>;
  /** Milliseconds since the epoch. */
  now(): Promise<number>;
  /** A number from 0 up to 1. */
  random(): Promise<number>;
  uuid(): Promise<string>;
  /**
   * As the global `fetch`, with a body of at most 16 MiB each way. GET and HEAD are repeatable, all others irreversible (name: `fetch`), and are
   * sent with an `Idempotency-Key`. Not followed into what `files` and the sandbox hold back: it connects from the process of the program.
   */
  fetch(url: string | URL, init?: FetchInit): Promise<Response>;
  /** Waits so many milliseconds, counted from its first attempt. */
  sleep(ms: number): Promise<void>;
}

export interface FetchInit {
  readonly method?: string;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string;
}
