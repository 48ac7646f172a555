/** A guided sequence of commands, done to the model and to the runtime, and compared after each. */
import { lookAtMain } from "../../../src/run/main.ts";
import { randomFrom, simDisk } from "../../support/simdisk.ts";
import { perform, performed } from "../adapter.ts";
import { dice } from "../dice.ts";
import { mayLock } from "../lock.ts";
import { isCall, isContainer, isDiscarded, pending, traceOf } from "../query.ts";
import { initial, step } from "../step.ts";
import type { Command, Reply, System, Workspace } from "../types.ts";
import { same } from "../value.ts";
import { compare, type Known, nothingKnown, rebuilt } from "./abstraction.ts";
import { beginnings } from "./beginnings.ts";
import { metBy } from "./coverage.ts";
import { operateOwnerless } from "./ownerless.ts";
import { picker } from "./picking.ts";
import { losePower } from "./power.ts";
import { openReal, type Real } from "./real.ts";
import { leftOut } from "./within.ts";

export interface Trial {
  readonly commands: readonly Command[];
  /** What they met, of what coverage.ts lists. */
  readonly met: ReadonlySet<string>;
  /** The first difference, and the command after which it was seen. */
  readonly difference: string | undefined;
  /** With which luck the power failed at the end, if it did. */
  readonly power: number | undefined;
}
type Source = (sys: System, i: number) => Command | undefined;

const user: Workspace = { a: 1, b: 2 };

/** What comes of itself in the runtime: main has no owner that could be down, and the lock goes to whoever may have it. */
function forced(sys: System): Command | undefined {
  if (!sys.scopes.main?.live) return { do: "recover", scope: "main" };
  for (const [scope, { live }] of Object.entries(sys.scopes)) {
    const t = traceOf(sys, scope);
    if (!live || scope === "main" || isDiscarded(t)) continue;
    const first = pending(t).find(
      (s) => isCall(s) && !isContainer(s) && !live.holders.includes(s.n) && mayLock(t, live, s),
    );
    if (first) return { do: "lock", scope, n: first.n };
  }
  return undefined;
}

/** What waits for something that never comes is told, so that it can be made shorter. */
const PATIENCE = 20_000;
function soon<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<T>((_, reject) => {
    timer = setTimeout(() => reject(new Error("It does not come to an end.")), PATIENCE);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

const said = (reply: Reply): string => ("ok" in reply ? reply.ok : `! ${reply.refused}`);

/** What of two replies is compared. */
function unlike(model: Reply, real: Reply): string | undefined {
  // What has expired is not known any more: not that it was there, nor that it was undone.
  if ("refused" in model && "refused" in real) {
    if (model.refused === "expired" && real.refused === "nothing") return;
    if (model.refused === "undone" && real.refused === "expired") return;
  }
  if (said(model) !== said(real)) return `the model replies ${said(model)}, the runtime ${said(real)}`;
  if (!("ok" in model) || !("ok" in real)) return;
  if (real.n !== undefined && model.n !== real.n) return `the model replies step ${model.n}, the runtime ${real.n}`;
  if (real.scopes && !same(real.scopes, model.scopes))
    return `the model makes ${model.scopes}, the runtime ${real.scopes}`;
  if (real.state && !same(real.state.workspace, model.state?.workspace)) return "the replies hold different files";
  return;
}

async function travel(source: Source, power: number | undefined): Promise<Trial> {
  const commands: Command[] = [];
  const met = new Set<string>();
  const known = nothingKnown();
  let sys = initial(user);
  const real = await openReal(user, power === undefined ? undefined : simDisk());
  try {
    await lookAtMain(real.store, real.user);
    for (let i = 0; ; ) {
      const command = forced(sys) ?? source(sys, i++);
      if (!command) break;
      const [after, reply] = step(sys, command);
      if (!performed(command.do) || leftOut(sys, command, reply)) continue;
      commands.push(command);
      const before = sys;
      for (const what of metBy({ before, command, reply, after })) met.add(what);
      sys = after;
      let difference: string | undefined;
      try {
        const got = await soon(perform(real, command, { before, after, reply }));
        difference = (got && unlike(reply, got)) ?? (await compare(real, after, known, forced(after) === undefined));
      } catch (error) {
        difference = (error as Error).stack ?? String(error);
      }
      if (difference) return { commands, met, power, difference: `${JSON.stringify(command)}: ${difference}` };
    }
    return { commands, met, power, difference: await atTheEnd(real, sys, known, power) };
  } finally {
    await real.end();
  }
}

async function atTheEnd(real: Real, sys: System, known: Known, power: number | undefined): Promise<string | undefined> {
  try {
    const told = await rebuilt(real, sys, known);
    if (told) return told;
    return await (power === undefined ? operateOwnerless(real, sys) : losePower(real, sys, known, randomFrom(power)));
  } catch (error) {
    return `at the end: ${(error as Error).stack}`;
  }
}

/** `length` commands from a seed, after the beginning that the seed chooses; at their end the power may fail. */
export function trial(seed: number, length: number, end?: "power fails"): Promise<Trial> {
  const next = picker(dice(seed));
  const start = beginnings[seed % beginnings.length] ?? [];
  const source: Source = (sys, i) => (i < start.length + length ? (start[i] ?? next(sys)) : undefined);
  return travel(source, end && seed);
}

const sourceOf =
  (commands: readonly Command[]): Source =>
  (_, i) =>
    commands[i];

/** For so long a trial is made shorter, in ms. */
const SHORTENING = 120_000;

/**
 * The commands of a trial that shows a difference, without those that it does not take. Where leaving one out makes the model refuse a later
 * one, or the runtime has no such command there, that is passed over, as in any trial; so only what differs is told.
 */
export async function shortest(found: Trial): Promise<Trial> {
  const end = performance.now() + SHORTENING;
  let best = found;
  for (let part = best.commands.length; part > 1; ) {
    part = Math.ceil(part / 2);
    for (let at = best.commands.length - part; at > -part && performance.now() < end; at -= part) {
      const without = await travel(
        sourceOf(best.commands.toSpliced(Math.max(at, 0), part + Math.min(at, 0))),
        found.power,
      );
      if (!without.difference || without.commands.length >= best.commands.length) continue;
      best = without;
      at = Math.min(at, best.commands.length);
    }
  }
  return best;
}
