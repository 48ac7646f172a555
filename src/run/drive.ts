/** The owner of a run: holds its lease, lets its worker work, listens for others, and writes down how it ended. */

import { recordBackground } from "../scope/background.ts";
import { holdingHere } from "../scope/exec/limit.ts";
import { isReverting } from "../scope/revert.ts";
import type { AttachOptions, LiveScope } from "../scope/scope.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { type Control, makeControl } from "./control.ts";
import { checkExpected } from "./expect.ts";
import { type Ending, noteEnded, noteStarted } from "./lifecycle.ts";
import { BESIDE, OPERATIONS, type Params } from "./operate.ts";
import { doubtsOf } from "./recover.ts";
import { type Method, serve, socketPath } from "./socket.ts";
import { take } from "./take.ts";

/** What drives a run: the built-in agent, a command. Called again when an operation stopped it in between. */
export interface Worker {
  name: string;
  /** Whether its agent can be told something while it works. */
  hears?: boolean;
  /**
   * Works until the work is done or `signal` aborts; then whatever is running has ended. Each call goes on from the scope's head.
   * @param restarted whether an operation (a revert, a merge) has changed the scope since the last call.
   * @param control what others want of it meanwhile. One that hears is called again if it is done while something is still to be told.
   */
  work(scope: LiveScope, signal: AbortSignal, restarted: boolean, control: Control): Promise<Ending>;
}

export interface DriveOptions extends AttachOptions {
  worker: Worker;
  signal: AbortSignal;
  /** False for a scope at whose calls another one's gates stand, or nobody's: the gates that its grants declare are not missed then. */
  guarded?: boolean;
  /** Requests that its socket takes besides. */
  methods?: { [name: string]: Method };
  /** Called once the lease is held, before the worker starts. */
  prepared?: (scope: LiveScope) => Promise<void>;
  /** Called with the scope still driven, after the worker has ended. */
  ended?: (scope: LiveScope, ending: Ending) => Promise<void>;
}

/** Writes down which of its limits this host holds. */
export async function noteLimits({ grants: { limits }, files, writer }: LiveScope): Promise<void> {
  if (!limits || !files) return;
  const { memory, processes } = await holdingHere(limits);
  await writer.note(null, {
    note: "limits",
    ...(limits.memory !== undefined && { memory }),
    ...(limits.processes !== undefined && { processes }),
    ...(limits.disk !== undefined && { disk: "watched" }),
    enforced:
      (limits.memory === undefined || memory === "held") && (limits.processes === undefined || processes === "held"),
  });
}

/** The reason with which a worker is stopped for an operation. */
class Interrupted extends Error {}

/** Drives a scope until its worker ends. Throws `Busy` if somebody else does. */
export async function drive(store: EmbeddedStore, name: string, options: DriveOptions): Promise<Ending> {
  const scope = await take(store, name, options);
  try {
    return await own(store, scope, options);
  } finally {
    await scope.close();
  }
}

async function own(store: EmbeddedStore, scope: LiveScope, options: DriveOptions): Promise<Ending> {
  const waiting: Array<{ begin: () => Promise<void>; closed: AbortSignal }> = [];
  let interrupt = new AbortController();

  const stopped = (work: () => Promise<Json>, closed: AbortSignal): Promise<Json> =>
    new Promise((resolve, reject) => {
      waiting.push({ begin: () => work().then(resolve, reject), closed });
      interrupt.abort(new Interrupted("An operation stops the worker for a moment."));
    });
  const control = makeControl(scope, options.guarded);
  const standing = { ref: scope.ref, fold: scope.writer.fold };
  const cancelled = new AbortController();
  const methods: { [name: string]: Method } = {
    ...options.methods,
    ...control.methods,
    cancel: async ({ reason, expect, ...said }) => {
      checkExpected(standing, expect);
      await control.cancelling(said, String(reason));
      cancelled.abort(new Error(String(reason)));
      return null;
    },
    observe: async ({ from }, send, closed) => {
      const start = typeof from === "number" ? from : 0;
      for await (const frame of store.logs.tail(scope.ref.log, start, { signal: closed }))
        await send(frame as unknown as Json);
      return null;
    },
  };
  for (const [operation, run] of Object.entries(OPERATIONS))
    methods[operation] = async (params: Params, _send, closed) => {
      const stands = checkExpected(standing, params.expect);
      if (BESIDE.has(operation)) return run(scope, params, closed);
      return stopped(async () => {
        stands();
        return run(scope, params);
      }, closed);
    };

  const stop = AbortSignal.any([options.signal, cancelled.signal]);
  const server = await serve(socketPath(store, scope.ref.log), methods);
  try {
    await noteStarted(scope.writer, options.worker.name);
    await noteLimits(scope);
    await options.prepared?.(scope);
    scope.handlers.unshift(...control.handlers);
    let ending: Ending;
    let restarted = false;
    for (;;) {
      const signal = AbortSignal.any([stop, interrupt.signal]);
      const before = new Set(control.inbox.waiting().map(({ id }) => id));
      ending = await options.worker.work(scope, signal, restarted, control);
      const operations = waiting.splice(0);
      if (operations.length === 0) {
        // It came when the worker did not listen any more.
        const left = options.worker.hears && ending === "done" ? control.inbox.waiting() : [];
        if (left.length === 0 || (left.length === before.size && left.every(({ id }) => before.has(id)))) break;
        restarted = false;
        continue;
      }
      interrupt = new AbortController();
      // Who asked for it and has gone since does not want it any more.
      for (const { begin, closed } of operations) if (!closed.aborted) await begin();
      restarted = true;
      // Nobody performs those again unasked: who resumes the run is told. Nor does anybody go on who is half set back.
      if (doubtsOf(scope).length > 0 || isReverting(scope)) {
        ending = "aborted";
        break;
      }
      if (stop.aborted) break;
    }
    await recordBackground(scope, { end: true });
    await options.ended?.(scope, ending);
    await noteEnded(scope.writer, ending);
    await scope.writer.sync();
    return ending;
  } finally {
    await server.close();
  }
}
