/** A run whose worker is a coding agent of the user's: its model calls go through the gateway, its tool calls through hooks, its files are the scope's. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { followCalls } from "../gateway/follow.ts";
import type { Gateway, Urls } from "../gateway/gateway.ts";
import type { Worker } from "../run/drive.ts";
import type { LiveScope } from "../scope/scope.ts";
import { putBytes } from "../scope/thread.ts";
import { asking } from "./asking.ts";
import { beginning } from "./beginning.ts";
import type { Plugin, Started } from "./plugin.ts";
import { keepSession } from "./sessions.ts";

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
}

/** Drives an agent until its work is done. */
export function pluginWorker(options: PluginOptions): Worker {
  const { plugin, gateway, session, workspace, onError } = options;
  const path = plugin.session.path(workspace, session);
  const tell = (text: string): void => onError?.(Buffer.from(text));
  let first = true;
  return {
    name: plugin.name,
    work: async (scope, signal) => {
      const { files } = scope;
      if (!files?.config) throw new Error(`${scope.ref.name} has no files here, so nothing can run in it.`);
      const sandbox = await files.sandbox();
      const begin = await beginning(scope, { ...options, prompt: first ? options.prompt : null, tell });
      first = false;
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
      const { traits, taskOf, outcome } = plugin;
      const results = resultsIn(scope, plugin, path);
      const calls = followCalls(scope, {
        traits,
        ...(taskOf && { taskOf }),
        ...(outcome && { outcome }),
        ...(results && { results }),
        broken,
        signal: stop,
      });
      const serving = gateway.serve(scope, stop, {
        inside: calls.insideOf,
        calls,
        ...asking(plugin, calls, broken),
      });
      try {
        const started = plugin.start({
          program: options.program,
          config: files.config.path,
          urls,
          session,
          args: options.args,
          ...begin,
        });
        const { code } = await sandbox.exec({
          argv: started.argv,
          env: started.env,
          cwd: options.at ? `${files.path}/${options.at}` : files.path,
          signal: stop,
          separate: true,
          ...follow(started, options),
        });
        if (signal.aborted) return "aborted";
        return why === null && code === 0 ? "done" : "failed";
      } catch (error) {
        if (signal.aborted) return "aborted";
        if (why === null) throw error;
        return "failed";
      } finally {
        over.abort();
        await serving;
        await keepSession(scope, path);
        if (why !== null) {
          tell(`shepherd: ${why}\n`);
          await scope.writer.note(null, { note: "broken", why: await putBytes(scope.store, Buffer.from(why)) });
        }
      }
    },
  };
}

/** Ids of the calls of which the agent's own record has results, where that can be read from outside. */
function resultsIn({ files }: LiveScope, { session }: Plugin, path: string): (() => ReadonlySet<string>) | undefined {
  const read = session.results;
  if (!read) return undefined;
  let known = { size: -1, ids: new Set<string>() as ReadonlySet<string> };
  return () => {
    const file = join(files!.config!.host, path);
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? -1;
    // It only grows.
    if (size !== known.size) known = { size, ids: size < 0 ? new Set() : read(readFileSync(file)) };
    return known.ids;
  };
}

/** Gives it its input, and closes that at once, or when a line of its output says that it is done. */
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
        if (!over) end();
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
