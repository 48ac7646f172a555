/**
 * Does to the runtime what a command does to the model, by the functions that the command line is made of: scopes, operations on runs, landing,
 * recovery, retention. What the model says of the worker (which call is whose, what a message holds) is taken from the model; what becomes of it
 * is the runtime's.
 */
import { failures } from "./runtime/failures.ts";
import { futures } from "./runtime/futures.ts";
import type { Real } from "./runtime/real.ts";
import type { Handler, Handlers, Wish } from "./runtime/reply.ts";
import { store } from "./runtime/store.ts";
import { together } from "./runtime/together.ts";
import { turn } from "./runtime/turn.ts";
import type { Command, Does, Name, Reply, Scope } from "./types.ts";

const handlers: Handlers = { ...turn, ...futures, ...together, ...store, ...failures };

/** The runtime's reply to a command; undefined where there is none that could be compared. */
export async function perform(real: Real, command: Command, wish: Wish): Promise<Reply | undefined> {
  real.clock = 1_700_000_000_000 + wish.after.time * 1000;
  const handler = handlers[command.do] as Handler<Command> | undefined;
  const reply = await handler?.(real, command, wish);
  if (command.do in turn) await rest(real, command as Command & { scope: Name }, wish);
  return reply;
}

/** What is not done by scopes but by the worker: it syncs at the end of its turn, and before it acts on the outside. */
async function rest(real: Real, { scope }: { scope: Name }, { after }: Wish): Promise<void> {
  const { log } = after.scopes[scope] as Scope;
  if (log.synced === log.records.length) await real.driven.get(scope)?.live.writer.sync();
}
export const performed = (does: Does): boolean => handlers[does] !== undefined;
