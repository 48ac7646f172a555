/** A code body at work, and its context. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Attempt } from "../scope/effect.ts";
import type { LiveScope } from "../scope/scope.ts";
import { getBytes, putBytes } from "../scope/thread.ts";
import type { Json } from "../trace/ports.ts";
import { type Agent, type Definition, definitionOf } from "./agent.ts";
import { type Clock, machineClock } from "./clock.ts";
import type { Context, FetchInit } from "./context.ts";
import type { DeclaredEffect } from "./effect.ts";
import { Failed, Invalid, ShepherdError } from "./errors.ts";
import { outputOf } from "./fit.ts";
import { readHistory } from "./journal.ts";
import { endedEarly, type How, type Performing, performing, putResult, readResult } from "./performing.ts";
import { handleOf, makeRun } from "./run.ts";
import { asJson, type Schema, validated } from "./schema.ts";
import { shellOf } from "./steps.ts";
import { bash } from "./tools/bash.ts";

export interface BodyOptions {
  definition: Definition;
  /** As its input schema made it. */
  input: unknown;
  thread: string;
  signal: AbortSignal;
  clock: Clock;
  /** Runs another agent within step `n`, and gives its result as plain data. */
  call(agent: Agent, input: Json, attempt: Attempt): Promise<{ value: Json; child: string }>;
}

/** So long a body may take to end once its run is stopped, in ms. */
const GRACE = 2000;

/** Runs a body to its end, from wherever its log has it. Gives what it returned. Throws what stopped it. */
export async function runBody(scope: LiveScope, options: BodyOptions): Promise<Json> {
  const { definition, thread, signal } = options;
  const { name } = definition;
  const run = scope.ref.name;
  const does = performing(scope, await readHistory(scope, thread), { agent: name, thread, signal });
  const body = (async () => definition.body!(boundTo(scope, does, options.input), contextOf(scope, does, options)))();
  body.catch(() => {});
  try {
    const returned = await Promise.race([body, does.halted]).catch((error: unknown) => {
      throw error instanceof ShepherdError ? error : new Failed(messageOf(error), { run, cause: error });
    });
    await does.ended();
    await Promise.race([Promise.resolve(), does.halted]);
    const value = asJson(returned, `What ${name} returned`);
    const left = does.left().find(({ call }) => call.name !== "return");
    if (left) throw endedEarly(run, name, left);
    await Promise.race([
      does.perform(
        "return",
        value,
        recorded(scope, async () => value),
      ),
      does.halted,
    ]);
    return value;
  } finally {
    await does.ended();
    does.close();
    if (signal.aborted) await Promise.race([body.catch(() => {}), sleep(GRACE, undefined, { ref: false })]);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Something that is written down so that it stays the same. `quiet`: it only looks, or waits. */
const recorded = (scope: LiveScope, make: (attempt: Attempt) => Promise<Json>, quiet = true): How => ({
  kind: "effect",
  tier: quiet ? "reversible" : "repeatable",
  lock: "none",
  quiet,
  run: async (attempt) => putResult(scope, await make(attempt)),
  value: (outcome) => readResult(scope, outcome),
});

/** What only looks at a run. */
const READS = ["steps", "head", "replay"];

/** What a body does with runs that it was given is a step of its own, as all that it does. */
function boundTo(scope: LiveScope, { perform }: Performing, input: unknown): unknown {
  const bound = (value: unknown, member: string): unknown => {
    const held = handleOf(value);
    if (!held) return value;
    return makeRun(held.handle, held.rights, (name, given, act) => {
      const how = recorded(
        scope,
        async ({ key }) => asJson(await act({ who: scope.ref.name, key }), `What ${name} gave`),
        READS.includes(name),
      );
      return perform(`${member}.${name}`, given, how) as never;
    });
  };
  if (typeof input !== "object" || input === null || handleOf(input)) return bound(input, "run");
  if (Object.getPrototypeOf(input) !== Object.prototype) return input;
  return Object.fromEntries(Object.entries(input).map(([member, value]) => [member, bound(value, member)]));
}

function contextOf(scope: LiveScope, { perform }: Performing, options: BodyOptions): Context {
  const { definition, signal, clock } = options;
  const once = (name: string, make: () => Json) =>
    perform(
      name,
      null,
      recorded(scope, async () => make()),
    );
  const effects = Object.entries(definition.effects).map(([name, declared]) => [
    name,
    (input: unknown) => perform(name, input, declaredEffect(scope, name, declared)),
  ]);
  return {
    run: scope.ref.name,
    signal,
    do: Object.freeze(Object.fromEntries(effects)) as Context["do"],
    call: (agent, input) => perform(agent.name, input, nested(scope, agent as unknown as Agent, options)) as never,
    bash: (command, given = {}) => {
      const input = { command, ...(given.timeoutMs !== undefined && { timeout_ms: given.timeoutMs }) };
      return perform("bash", input, commandIn(scope, options)) as never;
    },
    now: () => once("now", clock.now) as Promise<number>,
    random: () => once("random", Math.random) as Promise<number>,
    uuid: () => once("uuid", randomUUID) as Promise<string>,
    sleep: (ms) =>
      perform(
        "sleep",
        ms,
        recorded(scope, (attempt) => rest(scope, clock, attempt)),
      ) as Promise<void>,
    fetch: (url, init = {}) => perform("fetch", { ...init, url: String(url) }, fetching(scope, init)) as never,
  };
}

/** What code that is not ours throws is a failure of the work. */
async function itsOwn<T>(run: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof ShepherdError ? error : new Failed(messageOf(error), { run, cause: error });
  }
}

/** A wait goes on where a crash has interrupted it; by a clock of the program's own, which the log does not know, it begins anew. */
async function rest({ writer }: LiveScope, clock: Clock, { n, input, signal }: Attempt): Promise<null> {
  const ms = input as number;
  const left = clock === machineClock ? writer.fold.steps.get(n)!.at + ms - clock.now() : ms;
  if (left > 0) await clock.sleep(left, signal);
  return null;
}

function declaredEffect(scope: LiveScope, name: string, declared: DeclaredEffect): How {
  const run = scope.ref.name;
  const fit = async (schema: Schema, value: Json, what: string): Promise<unknown> => {
    const checked = await validated(schema, value);
    if ("wrong" in checked) throw new Invalid(`${what} of ${name} does not fit: ${checked.wrong}.`, { run });
    return checked.value;
  };
  return {
    kind: "effect",
    tier: declared.tier,
    lock: "none",
    check: async (input) => void (await fit(declared.input, input, "The input")),
    run: async ({ input, key, signal }) => {
      const given = await fit(declared.input, input, "The input");
      const done = await itsOwn(run, async () => declared.run(given, { key, signal }));
      const output = asJson(done, `The output of ${name}`);
      await fit(declared.output, output, "The output");
      return putResult(scope, output);
    },
    value: async (outcome) => fit(declared.output, await readResult(scope, outcome), "The output"),
  };
}

const nested = (scope: LiveScope, agent: Agent, { call }: BodyOptions): How => ({
  kind: "effect",
  tier: "reversible",
  lock: "none",
  container: true,
  quiet: true,
  run: async (attempt) => {
    const { value, child } = await call(agent, attempt.input, attempt);
    return { ...(await putResult(scope, value)), witness: { child } };
  },
  value: async (outcome) => outputOf(definitionOf(agent), await readResult(scope, outcome), scope.ref.name),
});

const commandIn = (scope: LiveScope, { thread }: BodyOptions): How => ({
  kind: "tool",
  tier: "reversible",
  lock: "exclusive",
  run: async ({ input, key, signal }) => {
    const { store, files, writer } = scope;
    const started = performance.now();
    const done = await bash.run(input as { [name: string]: Json }, {
      store,
      run: scope.ref.name,
      sandbox: () => files!.sandbox(),
      shell: shellOf(writer.fold, thread),
      home: files!.path,
      key,
      signal,
    });
    if (done.status === "aborted") signal.throwIfAborted();
    return {
      status: done.status,
      result: await putBytes(store, done.output ?? Buffer.from(done.text)),
      facts: { code: null, ...done.facts },
      ...(done.shell && { threads: { [thread]: { shell: done.shell } } }),
      witness: { ms: Math.round(performance.now() - started) },
    };
  },
  value: async ({ code, result }) => ({ code, output: (await getBytes(scope.store, result!)).toString() }),
});

/** Bytes of a body of a request or an answer. */
const LARGEST = 16 << 20;

function fetching(scope: LiveScope, { method = "GET" }: FetchInit): How {
  const plain = /^(get|head)$/i.test(method);
  return {
    kind: "effect",
    tier: plain ? "repeatable" : "irreversible",
    lock: "none",
    run: async ({ input, key, signal }) => {
      const { url, ...init } = input as unknown as FetchInit & { url: string };
      const headers = { ...(!plain && { "idempotency-key": key }), ...init.headers };
      const { response, bytes } = await itsOwn(scope.ref.name, async () => {
        const response = await fetch(url, { ...init, headers, signal });
        return { response, bytes: Buffer.from(await response.arrayBuffer()) };
      });
      if (bytes.length > LARGEST) throw new Failed(`The answer of ${url} has more than ${LARGEST >> 20} MiB.`);
      return {
        status: "done",
        result: await putBytes(scope.store, bytes),
        facts: {
          head: await putBytes(
            scope.store,
            Buffer.from(JSON.stringify({ status: response.status, headers: [...response.headers] })),
          ),
        },
      };
    },
    value: async ({ result, head }) => {
      const { status, headers } = JSON.parse((await getBytes(scope.store, head as never)).toString()) as {
        status: number;
        headers: Array<[string, string]>;
      };
      const empty = [101, 204, 205, 304].includes(status);
      // It is decoded already.
      const kept = headers.filter(([name]) => name !== "content-encoding" && name !== "content-length");
      return new Response(empty ? null : new Uint8Array(await getBytes(scope.store, result!)), {
        status,
        headers: kept,
      });
    },
  };
}
