/** A run whose worker is a coding agent of the user's: its model calls go through the gateway, its tool calls through hooks, its files are the scope's. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Writable } from "node:stream";
import { type Calls, followCalls } from "../gateway/calls.ts";
import { type Egress, openEgress } from "../gateway/egress/egress.ts";
import type { Gateway, Urls } from "../gateway/gateway.ts";
import type { Worker } from "../run/drive.ts";
import { settlePending } from "../run/recover.ts";
import { revertScope } from "../scope/revert.ts";
import type { LiveScope } from "../scope/scope.ts";
import { itemLinks } from "../scope/thread.ts";
import { allSteps } from "../scope/view.ts";
import type { Json } from "../trace/ports.ts";
import { hostEnv, proxyEnv, withoutKeys } from "./network.ts";
import { placeOf } from "./place.ts";
import type { Plugin, Started } from "./plugin.ts";
import { keepSession, sessionAt } from "./sessions.ts";

/** The port of the gateway inside each scope: it stands in what agents are told, so it is the same everywhere. */
export const PORT = 7601;

export interface PluginOptions {
  plugin: Plugin;
  program: string;
  gateway: Gateway;
  session: string;
  args: readonly string[];
  /** What it is to do, for a conversation that has not begun. */
  task: string;
  /** What to say first; null to go on without a word. */
  prompt: string | null;
  /** Path of the user's directory. */
  workspace: string;
  /** Where it starts, relative to the workspace. */
  at?: string | undefined;
  onOutput?(text: string): void;
  onError?(chunk: Buffer): void;
  /** Called with a sentence, once for each place that the run may not connect to. */
  onRefused?(sentence: string): void;
}

/** Drives an agent until its work is done. */
export function pluginWorker(options: PluginOptions): Worker {
  const { plugin, gateway } = options;
  const path = plugin.session.path(options.workspace, options.session);
  let first = true;
  return {
    name: plugin.name,
    work: async (scope, signal) => {
      const { files } = scope;
      if (!files?.config) throw new Error(`${scope.ref.name} has no files here, so nothing can run in it.`);
      const sandbox = await files.sandbox();
      const begin = await beginning(scope, path, first ? options.prompt : null, options);
      first = false;
      if (!begin) return "done";
      const urls: Urls = sandbox.listener ? gateway.accept(sandbox.listener, PORT) : gateway.urls;
      const over = new AbortController();
      const both = AbortSignal.any([signal, over.signal]);
      const own = sandbox.listener !== null;
      // Without a network of its own nobody sees what its calls do there.
      const traits: Calls["traits"] = (call) => ({ ...plugin.traits(call), ...(!own && { unobserved: true }) });
      const calls: Calls = followCalls(scope, {
        traits,
        taskOf: plugin.taskOf,
        signal,
        observed: (n) => egress.observed(n),
      });
      const egress: Egress = openEgress(scope, { running: calls.running, onRefused: options.onRefused });
      const hook = async (event: { [name: string]: Json }): Promise<Json> => {
        const heard = plugin.hook.decode(event);
        if (heard.kind === "other") return plugin.hook.none;
        if (heard.kind === "after") {
          await calls.end(heard.call, heard.status);
          return plugin.hook.none;
        }
        const verdict = await calls.begin(heard.call, heard.input);
        return verdict.kind === "allow" ? plugin.hook.allow(verdict.input) : plugin.hook.deny(verdict.reason);
      };
      const { outgoing } = plugin;
      const serving = gateway.serve(scope, both, { inside: calls.insideOf, calls, hook, outgoing, egress });
      try {
        const started = plugin.start({
          program: options.program,
          config: files.config.path,
          urls,
          session: options.session,
          args: options.args,
          ...begin,
        });
        const { code } = await sandbox.exec({
          argv: started.argv,
          env: { ...(own ? { ...proxyEnv(PORT), ...withoutKeys() } : hostEnv(process.env)), ...started.env },
          cwd: options.at ? `${files.path}/${options.at}` : files.path,
          signal,
          separate: true,
          ...follow(started, options),
        });
        if (signal.aborted) return "aborted";
        return code === 0 ? "done" : "failed";
      } catch (error) {
        if (signal.aborted) return "aborted";
        throw error;
      } finally {
        over.abort();
        await serving;
        await egress.close();
        await keepSession(scope, path);
      }
    },
  };
}

/**
 * How it starts where the scope stands: with its record of the conversation up to there, or anew where nothing was said yet. Null if there is
 * nothing left to do. Throws where its record does not tell what it had there.
 */
async function beginning(
  scope: LiveScope,
  path: string,
  prompt: string | null,
  { plugin, task, onError }: PluginOptions,
): Promise<{ prompt: string | null; resumed: boolean } | null> {
  const { store, ref, files } = scope;
  let place = await placeOf(store, scope.head().state!);
  if (place.open.length > 0 && (place.answered.length > 0 || prompt !== null)) {
    await stepBack(scope, prompt === null ? "intent" : "before", onError);
    place = await placeOf(store, scope.head().state!);
  }
  const file = join(files!.config!.host, path);
  // Where the first answer is still to be acted on, it asks for that again, and gets it from the record.
  if (place.turns === 0 || (place.turns === 1 && place.open.length > 0 && place.answered.length === 0)) {
    rmSync(file, { force: true });
    return { prompt: prompt ?? task, resumed: false };
  }
  if (prompt === null && place.answered.length === 0 && place.open.length === 0) return null;
  const record = await sessionAt(store, ref.log, plugin, path, place);
  if (!record) throw new Inexact(ref.name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, record, { mode: 0o600 });
  return { prompt, resumed: true };
}

/**
 * Sets a scope back to where its agent can go on from: to the answer whose calls were not all performed, or, where something else is to be said,
 * behind what came before it.
 */
async function stepBack(scope: LiveScope, how: "intent" | "before", tell?: (chunk: Buffer) => void): Promise<void> {
  const { store, ref, writer } = scope;
  const said = (await itemLinks(store, scope.head().state!.threads.main)).reverse();
  const steps = await allSteps(store, { ref, log: ref.log, fold: writer.fold });
  const models = steps.filter(({ step }) => step.sealed && step.intent.kind === "model");
  const at = models.findLast(({ step }) => said.includes(step.outcome!.result!));
  if (!at) throw new Inexact(ref.name);
  const sealed = steps.filter(({ step }) => step.sealed);
  const to = how === "intent" ? at : sealed[sealed.indexOf(at) - 1];
  if (!to) throw new Inexact(ref.name);
  await settlePending(scope);
  const { n } = await revertScope(scope, to.step.n);
  tell?.(
    Buffer.from(
      `shepherd: not all calls of step ${at.step.n} were performed, so it goes on from step ${to.step.n}, as step ${n}.\n`,
    ),
  );
}

/** Thrown where an agent cannot go on from where its run stands. */
export class Inexact extends Error {
  constructor(scope: string) {
    super(
      `${scope} stands between the calls of a turn, and its agent cannot go on from there: \`shepherd revert ${scope} N\` to a step behind or before them.`,
    );
  }
}

/** Gives it its input, and closes that when a line of its output says that it is done. */
function follow({ input, over, told }: Started, { onOutput, onError }: PluginOptions) {
  let end = (): void => {};
  let rest = "";
  const decoder = new TextDecoder();
  const line = (text: string): void => {
    const said = told ? told(text) : text;
    if (said !== null) onOutput?.(said);
    if (over?.(text)) end();
  };
  return {
    ...(input !== undefined && {
      onStdin: (pipe: Writable) => {
        if (input !== "") pipe.write(input);
        end = () => pipe.end();
      },
    }),
    onOutput: (chunk: Buffer, stream: "stdout" | "stderr") => {
      if (stream === "stderr") return onError?.(chunk);
      rest += decoder.decode(chunk, { stream: true });
      for (let at = rest.indexOf("\n"); at >= 0; at = rest.indexOf("\n")) {
        line(rest.slice(0, at));
        rest = rest.slice(at + 1);
      }
    },
  };
}
