/** A request that is being answered, and what all of them share. */
import type { ScopeRef } from "../../scope/registry.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { chooseRun } from "../select.ts";
import type { Context } from "../verb.ts";
import { type Line, outputTo, type Send } from "./answer.ts";
import { type Body, directoryIn, textIn } from "./body.ts";
import type { Holds } from "./holds.ts";
import type { Jobs } from "./jobs.ts";

/** What all requests share. */
export interface Serving {
  store: EmbeddedStore;
  /** Where the server was started. */
  cwd: string;
  /** Aborts when the server ends. */
  signal: AbortSignal;
  holds: Holds;
  jobs: Jobs;
  during: <T>(work: () => Promise<T>) => Promise<T>;
}

export interface Request {
  body: Body;
  send: Send;
  /** Aborts when nobody waits for the answer, or the server ends. */
  signal: AbortSignal;
}

/** Answers a request with lines, and gives the last. */
export type Route = (serving: Serving, request: Request) => Promise<ExitCode | undefined | Line[]>;

/** What a verb gets that is asked for so. */
export const contextOf = (
  { store }: Serving,
  { send, signal }: Request,
  cwd: string,
  rest: string[] | null,
): Context => ({
  out: outputTo(send),
  cwd,
  rest,
  signal,
  store: async () => store,
  // Each request is told by itself.
  apart: async () => (work) => work(),
  close: async () => {},
});

/** The run that a request names. */
export async function runIn(
  serving: Serving,
  request: Request,
  options?: { destructive: boolean },
): Promise<{ run: ScopeRef; context: Context }> {
  const context = contextOf(serving, request, directoryIn(request.body, serving.cwd), null);
  const name = textIn(request.body, "run");
  if (name === undefined) throw new Exit(2, `Which run? The request names it as "run".`);
  return { run: await chooseRun(context, name, options), context };
}
