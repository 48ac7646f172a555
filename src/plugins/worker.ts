/** A run whose worker is a coding agent of the user's: its model calls go through the gateway, its tool calls through hooks, its files are the scope's. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Calls, followCalls, type Verdict } from "../gateway/calls.ts";
import { type Egress, openEgress } from "../gateway/egress/egress.ts";
import type { Gateway, Urls } from "../gateway/gateway.ts";
import type { Worker } from "../run/drive.ts";
import { settlePending } from "../run/recover.ts";
import type { Sandbox } from "../scope/exec/sandbox.ts";
import { revertScope } from "../scope/revert.ts";
import type { LiveScope } from "../scope/scope.ts";
import { itemLinks } from "../scope/thread.ts";
import { cameThrough } from "../scope/view.ts";
import type { Json } from "../trace/ports.ts";
import { within } from "./deadline.ts";
import { makeDelivery } from "./deliver.ts";
import { hostEnv, proxyEnv, withoutKeys } from "./network.ts";
import { placeOf } from "./place.ts";
import type { Plugin } from "./plugin.ts";
import { keepSession, sessionAt } from "./sessions.ts";
import { makeTalk } from "./talk.ts";

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
  /** Whether it has the terminal. */
  interactive?: boolean;
  /** Where it starts, relative to the workspace. */
  at?: string | undefined;
  onOutput?(text: string): void;
  onError?(chunk: Buffer): void;
  /** Called with a sentence, once for each place that the run may not connect to. */
  onRefused?(sentence: string): void;
}

/** Before the agent would go on without an answer. */
const LATE: Verdict = { kind: "deny", reason: "nobody has answered" };

/** Drives an agent until its work is done. */
export function pluginWorker(options: PluginOptions): Worker {
  const { plugin, gateway, interactive = false } = options;
  const path = plugin.session.path(options.workspace, options.session);
  let first = true;
  return {
    name: plugin.name,
    hears: true,
    work: async (scope, signal, _restarted, control) => {
      const { files } = scope;
      if (!files?.config) throw new Error(`${scope.ref.name} has no files here, so nothing can run in it.`);
      const sandbox = await files.sandbox();
      await control.unpaused(signal).catch(() => {});
      if (signal.aborted) return "aborted";
      const talk = makeTalk(options, () => delivery.goesOn());
      const delivery = makeDelivery(scope, control.inbox, plugin, talk.say);
      let begin = await beginning(scope, path, first ? options.prompt : null, options);
      first = false;
      if (!begin && !interactive) {
        // It has nothing to do, unless somebody has told it something meanwhile.
        const prompt = await delivery.asPrompt();
        begin = prompt === null ? null : await beginning(scope, path, prompt, options);
      }
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
          // Here it waits as long as it takes; a request that is held back it would give up. What it is told meanwhile is in the next one.
          await control.unpaused(signal);
          return plugin.hook.none;
        }
        const begun = calls.begin(heard.call, heard.input);
        const verdict = await within(plugin.hook.waits * 0.9, begun, LATE);
        return verdict.kind === "allow" ? plugin.hook.allow(verdict.input) : plugin.hook.deny(verdict.reason);
      };
      const serving = gateway.serve(scope, both, {
        inside: calls.insideOf,
        calls,
        hook,
        egress,
        outgoing: plugin.outgoing,
        hold: control.unpaused,
        // Not earlier: how it starts says what it is asked first.
        before: async () => delivery.begin(),
        injected: delivery.injected,
      });
      try {
        const started = plugin.start({
          program: options.program,
          config: files.config.path,
          urls,
          session: options.session,
          args: options.args,
          interactive,
          ...begin,
        });
        const command = {
          argv: started.argv,
          env: { ...(own ? { ...proxyEnv(PORT), ...withoutKeys() } : hostEnv(process.env)), ...started.env },
          cwd: options.at ? `${files.path}/${options.at}` : files.path,
        };
        const { code } = interactive
          ? await onTerminal(sandbox, command, signal)
          : await sandbox.exec({ ...command, signal, separate: true, ...talk.follow(started) });
        if (signal.aborted) return "aborted";
        return code === 0 ? "done" : "failed";
      } catch (error) {
        if (signal.aborted) return "aborted";
        throw error;
      } finally {
        delivery.end();
        over.abort();
        await serving;
        await egress.close();
        await keepSession(scope, path);
      }
    },
  };
}

/** Runs it on the terminal of this process; ends it, and sets the terminal back, when `signal` aborts. */
async function onTerminal(
  sandbox: Sandbox,
  command: Parameters<Sandbox["interactive"]>[0],
  signal: AbortSignal,
): Promise<{ code: number | null }> {
  const stop = (): void => void sandbox.killAll().catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await sandbox.interactive(command);
  } finally {
    signal.removeEventListener("abort", stop);
    // A program that is killed leaves its screen, and the keys, as it had them.
    if (signal.aborted && process.stdout.isTTY)
      process.stdout.write("\x1b[?1049l\x1b[?2004l\x1b[?1000l\x1b[?25h\x1b[0m\r\n");
    if (signal.aborted && process.stdin.isTTY) {
      process.stdin.setRawMode(true);
      process.stdin.setRawMode(false);
    }
  }
}

/**
 * How it starts where the scope stands: with its record of the conversation up to there, or anew where nothing was said yet. Null if there is
 * nothing left to do. Throws where its record does not tell what it had there.
 */
async function beginning(
  scope: LiveScope,
  path: string,
  prompt: string | null,
  { plugin, task, onError, interactive = false }: PluginOptions,
): Promise<{ prompt: string | null; resumed: boolean } | null> {
  const { store, ref, files } = scope;
  const file = join(files!.config!.host, path);
  // Each time it goes further back.
  for (let tries = 0; tries < 1000; tries++) {
    const place = await placeOf(store, scope.head().state!);
    const { turns, answered, open } = place;
    const between = open.length > 0 && answered.length > 0;
    // Where the first answer is still to be acted on, it asks for that again, and gets it from the record.
    const silent = prompt === null && !interactive;
    if (turns === 0 || (turns === 1 && open.length > 0 && !between && silent)) {
      rmSync(file, { force: true });
      return { prompt: interactive ? prompt : (prompt ?? task), resumed: false };
    }
    if (silent && open.length === 0 && answered.length === 0) return null;
    if (!between && (open.length === 0 || silent)) {
      const record = await sessionAt(store, ref.log, plugin, path, place);
      if (record) {
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, record, { mode: 0o600 });
        return { prompt, resumed: true };
      }
    }
    // To the answer whose calls were not all performed, or whose results its record has not; or, with something new to say, behind what came before.
    await stepBack(scope, open.length > 0 && (!silent || !between) ? "before" : "answer", onError);
  }
  throw new Inexact(ref.name);
}

/** Sets a scope back to the last answer of its conversation, or to what came before that. */
async function stepBack(scope: LiveScope, how: "answer" | "before", tell?: (chunk: Buffer) => void): Promise<void> {
  const { store, ref, writer } = scope;
  const said = (await itemLinks(store, scope.head().state!.threads.main)).reverse();
  const path = await cameThrough(store, { ref, log: ref.log, fold: writer.fold });
  const last = path.findIndex(({ step }) => step.intent.kind === "model" && said.includes(step.outcome!.result!));
  const to = last < 0 ? undefined : path[how === "answer" ? last : last + 1];
  if (!to) throw new Inexact(ref.name);
  await settlePending(scope);
  const { n } = await revertScope(scope, to.step.n);
  tell?.(
    Buffer.from(
      `shepherd: what followed step ${to.step.n} cannot be gone on with, so it goes on from there, as step ${n}.\n`,
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
