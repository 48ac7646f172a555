/** What stands behind a run: its name in a store, and what this process knows of it if it drives it. All that is heavy is loaded when it is needed. */
import type { Control } from "../run/control.ts";
import type { GateEvent } from "../run/gate.ts";
import { gateName } from "../scope/guards.ts";
import type { Json } from "../trace/ports.ts";
import type { Definition } from "./agent.ts";
import { Cancelled, Conflict, Invalid, publicError } from "./errors.ts";
import { lossy } from "./lossy.ts";
import type {
  DriveOptions,
  ForkOptions,
  Gate,
  GatedEffect,
  GateVerdict,
  LiveEvent,
  ResumeOptions,
  StartOptions,
} from "./run.ts";

/** Runs that this process drives, by store and name: a run that is written down as a name is found again. */
const ACTIVE = new Map<string, Handle>();
const keyOf = (directory: string | undefined, name: string): string => `${directory ?? ""}\n${name}`;

export const activeHandle = (directory: string | undefined, name: string): Handle | undefined =>
  ACTIVE.get(keyOf(directory, name));

export type Decide = (effect: GatedEffect<never>) => GateVerdict | Promise<GateVerdict>;
type Attached = Awaited<Gate["attached"]>;

export interface Handle {
  readonly definition: Definition;
  /** Directory of its store; that of the command line where it is undefined. */
  readonly directory: string | undefined;
  /** Name of the run, once it is known. */
  readonly name: string | null;
  readonly named: Promise<string>;
  readonly result: Promise<unknown>;
  /** Whether this process drives it now. */
  readonly driven: boolean;
  live(): AsyncIterable<LiveEvent>;
  /** @param as its name; throws `Invalid` for what is none */
  gate(decide: Decide, as: string | undefined): Gate;
  /** Stops it, and resolves when it has ended. */
  cancel(reason: string, who: string): Promise<void>;
  /** Another run that was started from it. @param made its name, once there is one */
  spawn(definition: Definition, options: DriveOptions, made: Promise<string>): Handle;
  /** @param released whether it was only paused, and goes on where it is driven */
  resume(options: ResumeOptions, released: Promise<boolean>): Handle;
  /** @param made the fork's name, once there is one */
  fork(options: ForkOptions, made: Promise<string>): Handle;
}

/** What drives a run tells its handle. */
export interface Drive {
  /** Aborts with the reason why it is to stop. */
  readonly signal: AbortSignal;
  /** Stops it for a reason of its own. */
  stop(reason: Error): void;
  named(scope: string): void;
  emit(event: LiveEvent): void;
  /** Called before it works. Resolves when all gates that were set are asked. */
  controlled(control: Controlling): Promise<void>;
}

/** What gates and a cancel need of whoever drives the run. */
export type Controlling = Pick<Control, "methods"> & Partial<Pick<Control, "cancelling">>;

/** A handle on a run that this process drives: `work` does, and gives its result. */
function driving(
  definition: Definition,
  directory: string | undefined,
  outside: AbortSignal | undefined,
  work: (drive: Drive) => Promise<unknown>,
): Handle {
  const stop = new AbortController();
  const gates: Array<(control: Controlling) => Promise<void>> = [];
  const listeners = new Set<ReturnType<typeof lossy<LiveEvent>>>();
  let control: Controlling | null = null;
  let name: string | null = null;
  let driven = true;
  let known: (scope: string) => void = () => {};
  let unknown: (why: Error) => void = () => {};
  const named = new Promise<string>((resolve, reject) => {
    known = resolve;
    unknown = reject;
  });
  const onOutside = (): void => stop.abort(cancelledBy(outside!.reason, name));
  outside?.addEventListener("abort", onOutside, { once: true });
  if (outside?.aborted) onOutside();
  const drive: Drive = {
    signal: stop.signal,
    stop: (reason) => stop.abort(reason),
    named: (scope) => {
      name = scope;
      ACTIVE.set(keyOf(directory, scope), handle);
      known(scope);
    },
    emit: (event) => {
      for (const each of listeners) each.push(event);
    },
    controlled: async (given) => {
      if (control) return;
      control = given;
      for (const attach of gates) await attach(given);
    },
  };
  const result = work(drive)
    .catch((error: unknown) => {
      throw publicError(error, name);
    })
    .finally(() => {
      driven = false;
      if (name !== null && activeHandle(directory, name) === handle) ACTIVE.delete(keyOf(directory, name));
      outside?.removeEventListener("abort", onOutside);
      for (const each of listeners) each.end();
    });
  result.catch(unknown);
  // Whoever waits for it sees the error.
  for (const each of [named, result]) each.catch(() => {});
  const handle: Handle = {
    definition,
    directory,
    get name() {
      return name;
    },
    named,
    result,
    get driven() {
      return driven;
    },
    live: () => {
      const events = lossy<LiveEvent>(() => listeners.delete(events));
      if (driven) listeners.add(events);
      else events.end();
      return events;
    },
    gate: (decide, as) => {
      checkGateName(as);
      const closed = new AbortController();
      let set: (known: Attached | Promise<Attached>) => void = () => {};
      const attached = new Promise<Attached>((resolve, reject) => {
        set = resolve;
        result.then(
          () => reject(new Conflict("The run ended before the gate was set.", { run: name })),
          (error) => reject(error),
        );
      });
      attached.catch(() => {});
      let end: () => void = () => {};
      const ended = new Promise<void>((resolve) => {
        end = resolve;
        result.then(
          () => resolve(),
          () => resolve(),
        );
      });
      const attach = async ({ methods }: Controlling): Promise<void> => {
        const asking = askingGate(
          (method, params, hear) => methods[method]!(params, async (event) => hear(event), closed.signal),
          decide,
          as,
        );
        void asking.ended.then(end);
        const known = asking.attached.catch((error: unknown) => {
          throw publicError(error, name);
        });
        set(known);
        await known.catch(() => {});
      };
      gates.push(attach);
      if (control) void attach(control);
      return { close: () => closed.abort(), attached, ended };
    },
    cancel: async (reason, who) => {
      if (driven) await control?.cancelling?.({ by: who, right: "cancel" }, reason).catch(() => {});
      if (driven) stop.abort(new Cancelled(reason, { run: name, hint: "resume goes on with it." }));
      await result.catch(() => {});
    },
    fork: (options, made) =>
      driving(definition, directory, options.signal, async (own) =>
        (await import("./owning.ts")).forkRun(own, handle, options, made),
      ),
    resume: (options, released) => goingOn(handle, options, released),
    spawn: (spawned, options, made) => spawning(handle, spawned, options, made),
  };
  return handle;
}

const spawning = (
  { directory }: Pick<Handle, "directory">,
  definition: Definition,
  options: DriveOptions,
  made: Promise<string>,
): Handle =>
  driving(definition, directory, options.signal, async (drive) =>
    (await import("./owning.ts")).resumeRun(drive, definition, await made, {
      ...options,
      ...(directory !== undefined && { store: directory }),
    }),
  );

/** The same run as it goes on: where it is driven, if it was only paused there, else in this process. */
const goingOn = (handle: Handle, options: ResumeOptions, released: Promise<boolean>): Handle =>
  driving(handle.definition, handle.directory, options.signal, async (drive) => {
    const name = await handle.named;
    if (!(await released))
      return (await import("./owning.ts")).resumeRun(drive, handle.definition, name, { ...options, ...at(handle) });
    drive.named(name);
    return handle.driven ? handle.result : (await import("./watching.ts")).resultOf(handle);
  });

const at = ({ directory }: Handle): { store?: string } => (directory === undefined ? {} : { store: directory });

const cancelledBy = (reason: unknown, run: string | null): Cancelled =>
  new Cancelled(reason instanceof Error ? reason.message : String(reason), { run, cause: reason });

/** Throws `Invalid` for what is no name of a gate. */
export function checkGateName(as: string | undefined): void {
  try {
    if (as !== undefined) gateName(as);
  } catch (error) {
    throw new Invalid((error as Error).message);
  }
}

type Params = { [key: string]: Json };

/**
 * Sets a gate over a way to ask the owner of a run: asks a function, as the command line asks a person. `attached` rejects with the owner's refusal, or
 * where the owner goes before.
 */
export function askingGate(
  request: (method: string, params: Params, hear: (event: Json) => void) => Promise<Json>,
  decide: Decide,
  as: string | undefined,
): Pick<Gate, "attached" | "ended"> {
  let set: (known: Attached) => void = () => {};
  let fail: (why: unknown) => void = () => {};
  const attached = new Promise<Attached>((resolve, reject) => {
    set = resolve;
    fail = reject;
  });
  const decided: Array<Attached["decided"][number]> = [];
  const hear = async (event: GateEvent): Promise<void> => {
    if (event.type === "decided" && event.earlier && event.decision !== "default") {
      const { n, tool, input, decision, reason } = event;
      decided.push({ n, tool, input, decision, reason });
    }
    if (event.type === "attached") set({ decided, waiting: event.waiting });
    if (event.type === "ask")
      await request("answer", { id: event.id, answer: await answered(decide, event) }, () => {});
  };
  // Somebody else may have answered in between.
  const heard = (event: Json): void => void hear(event as unknown as GateEvent).catch(() => {});
  const asks = { asks: true, by: "the program", right: "gate", ...(as !== undefined && { as }) };
  const ended = request("gate", asks, heard).then(() => {}, fail);
  return { attached, ended };
}

/** What a gate's function says, as an answer that can cross a socket. What it throws, and what is no verdict, denies. */
export async function answered(decide: Decide, asked: GateEvent & { type: "ask" }): Promise<Json> {
  const { n, tool, tier, input } = asked;
  try {
    const verdict = await decide({ name: tool, tool, input, n, tier } as never);
    if (verdict === "allow") return { kind: "allow" };
    if ("deny" in verdict) return { kind: "deny", reason: String(verdict.deny) };
    return { kind: "rewrite", input: JSON.parse(JSON.stringify(verdict.rewrite)) as Json };
  } catch (error) {
    return { kind: "deny", reason: `the gate failed: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** Starts a run, and drives it. */
export const started = (definition: Definition, input: unknown, options: StartOptions): Handle =>
  driving(definition, options.store, options.signal, async (drive) =>
    (await import("./owning.ts")).startRun(drive, definition, input, options),
  );

/** A run that exists. @param drives whether this process goes on with it */
export function resumed(definition: Definition, name: string, options: ResumeOptions, drives: boolean): Handle {
  if (drives)
    return driving(definition, options.store, options.signal, async (drive) =>
      (await import("./owning.ts")).resumeRun(drive, definition, name, options),
    );
  let result: Promise<unknown> | null = null;
  const handle: Handle = {
    definition,
    directory: options.store,
    name,
    named: Promise.resolve(name),
    get result() {
      result ??= import("./watching.ts").then(({ resultOf }) => resultOf(handle));
      result.catch(() => {});
      return result;
    },
    driven: false,
    live: () => {
      const none = lossy<LiveEvent>(() => {});
      none.end();
      return none;
    },
    gate: (decide, as) => {
      checkGateName(as);
      const closed = new AbortController();
      const asked = import("./operations.ts").then(({ gateElsewhere }) =>
        gateElsewhere(handle, decide, as, closed.signal),
      );
      const attached = asked.then(({ known }) => known);
      attached.catch(() => {});
      const ended = asked.then(
        (asking) => asking.ended,
        () => {},
      );
      return { close: () => closed.abort(), attached, ended };
    },
    cancel: async (reason, who) => {
      const { on, stopRun } = await import("./operations.ts");
      await on(handle, (store, name) => stopRun(store, name, reason, { by: { who, right: "cancel" } }));
    },
    resume: (options, released) => goingOn(handle, options, released),
    spawn: (spawned, options, made) => spawning(handle, spawned, options, made),
    fork: (forking, made) =>
      driving(definition, options.store, forking.signal, async (own) =>
        (await import("./owning.ts")).forkRun(own, handle, forking, made),
      ),
  };
  return handle;
}
