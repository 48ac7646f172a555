/** A run whose worker is a coding agent of the user's: its model calls go through the gateway, its tool calls through hooks, its files are the scope's. */
import { type Egress, openEgress } from "../gateway/egress/egress.ts";
import { followCalls } from "../gateway/follow.ts";
import type { Gateway, Urls } from "../gateway/gateway.ts";
import type { Worker } from "../run/drive.ts";
import type { Ending } from "../run/lifecycle.ts";
import type { Grants } from "../scope/registry.ts";
import type { LiveScope } from "../scope/scope.ts";
import { putBytes } from "../scope/thread.ts";
import { readWithin, sizeWithin } from "../world/within.ts";
import { asking } from "./asking.ts";
import { beginning } from "./beginning.ts";
import { makeDelivery } from "./deliver.ts";
import { hookCommand } from "./hook.ts";
import { hostEnv, proxyEnv, withoutKeys } from "./network.ts";
import type { Plugin } from "./plugin.ts";
import { keepSession } from "./sessions.ts";
import { makeTalk } from "./talk.ts";
import { onTerminal } from "./terminal.ts";

/** The port of the gateway inside each scope: it stands in what agents are told, so it is the same everywhere. */
export const PORT = 7601;

export interface PluginOptions {
  plugin: Plugin;
  program: string;
  gateway: Gateway;
  session: string;
  args: readonly string[];
  /** What it is to do, for a conversation that has not begun; null where its user was to say that on the terminal. */
  task: string | null;
  /** What to say first; null to go on without a word. */
  prompt: string | null;
  /** What becomes of open calls where it begins. */
  open?: "perform" | "drop" | undefined;
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
  /** See `EgressOptions`. */
  instead?: Grants | undefined;
}

/** Drives an agent until its work is done. */
export function pluginWorker(options: PluginOptions): Worker {
  const { plugin, gateway, session, workspace, interactive = false, onError } = options;
  const path = plugin.session.path(workspace, session);
  const tell = (text: string): void => onError?.(Buffer.from(text));
  let first = true;
  let says = true;
  return {
    name: plugin.name,
    hears: true,
    work: async (scope, signal, restarted, control) => {
      for (let waited = Number.POSITIVE_INFINITY; ; ) {
        const ending = await once(scope, signal, restarted, control);
        // What an agent cannot be told while it works it is told when it has done what it had to.
        const waits = control.inbox.waiting().length;
        if (ending !== "done" || signal.aborted || says || waits === 0 || waits >= waited) return ending;
        waited = waits;
      }
    },
  };

  async function once(...[scope, signal, _restarted, control]: Parameters<Worker["work"]>): Promise<Ending> {
    const { files } = scope;
    if (!files?.config) throw new Error(`${scope.ref.name} has no files here, so nothing can run in it.`);
    const sandbox = await files.sandbox();
    await control.unpaused(signal).catch(() => {});
    if (signal.aborted) return "aborted";
    const talk = makeTalk(options, () => delivery.goesOn());
    const delivery = makeDelivery(scope, control.inbox, plugin, talk.say);
    const { prompt, open } = first ? options : { prompt: null, open: undefined };
    let begin = await beginning(scope, { ...options, prompt, open, tell });
    first = false;
    if (!begin && !interactive) {
      // It has nothing to do, unless somebody has told it something meanwhile.
      const prompt = await delivery.asPrompt();
      begin = prompt === null ? null : await beginning(scope, { ...options, prompt, open: undefined, tell });
    }
    if (!begin) return "done";
    const urls: Urls = sandbox.listener ? gateway.accept(sandbox.listener, PORT) : gateway.urls;
    const over = new AbortController();
    const stop = AbortSignal.any([signal, over.signal]);
    let why: string | null = null;
    const broken = (sentence: string): void => {
      if (stop.aborted) return;
      why = sentence;
      over.abort(new Error(sentence));
      void sandbox.killAll().catch(() => {});
    };
    const own = sandbox.listener !== null;
    const { taskOf, outcome } = plugin;
    const results = resultsIn(scope, plugin, path);
    const calls = followCalls(scope, {
      // Without a network of its own nobody sees what its calls do there.
      traits: (call) => ({ ...plugin.traits(call), ...(!own && { unobserved: true }) }),
      ...(taskOf && { taskOf }),
      ...(outcome && { outcome }),
      ...(results && { results }),
      observed: (n) => egress.observed(n),
      broken,
      signal: stop,
    });
    const { onRefused, instead } = options;
    const egress: Egress = openEgress(scope, { running: calls.running, onRefused, instead });
    const serving = gateway.serve(scope, stop, {
      inside: calls.insideOf,
      calls,
      ...asking(plugin, calls, { broken, unpaused: () => control.unpaused(signal) }),
      egress,
      hold: control.unpaused,
      // Not earlier: how it starts says what it is asked first.
      before: async () => delivery.begin(),
      injected: delivery.injected,
    });
    // Where it cannot record nobody works; the error is thrown below.
    serving.catch(() => over.abort());
    try {
      const started = plugin.start({
        program: options.program,
        config: files.config.path,
        urls,
        hook: hookCommand(urls.hook),
        session,
        args: options.args,
        interactive,
        ...begin,
      });
      says = interactive || started.say !== undefined;
      const command = {
        argv: started.argv,
        env: { ...(own ? { ...proxyEnv(PORT), ...withoutKeys() } : hostEnv(process.env)), ...started.env },
        cwd: options.at ? `${files.path}/${options.at}` : files.path,
        alone: true,
      };
      const { code } = interactive
        ? await onTerminal(sandbox, command, stop)
        : await sandbox.exec({ ...command, signal: stop, separate: true, ...talk.follow(started) });
      if (signal.aborted) return "aborted";
      return why === null && code === 0 ? "done" : "failed";
    } catch (error) {
      if (signal.aborted) return "aborted";
      if (why === null) throw error;
      return "failed";
    } finally {
      delivery.end();
      over.abort();
      // Each whatever becomes of the one before.
      await serving
        .finally(() => egress.close())
        .finally(() => keepSession(scope, path))
        .finally(async () => {
          if (why === null) return;
          tell(`shepherd: ${why}\n`);
          await scope.writer.note(null, { note: "broken", why: await putBytes(scope.store, Buffer.from(why)) });
        });
    }
  }
}

/** Ids of the calls of which the agent's own record has results, where that can be read from outside. */
function resultsIn({ files }: LiveScope, { session }: Plugin, path: string): (() => ReadonlySet<string>) | undefined {
  const read = session.results;
  if (!read) return undefined;
  let known = { size: -1, ids: new Set<string>() as ReadonlySet<string> };
  return () => {
    const config = files!.config!.host;
    const size = sizeWithin(config, path) ?? -1;
    // It only grows.
    if (size !== known.size) known = { size, ids: read(readWithin(config, path) ?? Buffer.alloc(0)) };
    return known.ids;
  };
}
