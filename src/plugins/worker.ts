/** A run whose worker is a coding agent of the user's: its model calls go through the gateway, its tool calls through hooks, its files are the scope's. */
import type { Writable } from "node:stream";
import { followCalls } from "../gateway/calls.ts";
import type { Gateway, Urls } from "../gateway/gateway.ts";
import type { Worker } from "../run/drive.ts";
import type { Json } from "../trace/ports.ts";
import type { Plugin, Started } from "./plugin.ts";

/** The port of the gateway inside each scope: it stands in what agents are told, so it is the same everywhere. */
export const PORT = 7601;

export interface PluginOptions {
  plugin: Plugin;
  program: string;
  gateway: Gateway;
  session: string;
  args: readonly string[];
  /** What to say when it starts; null to go on without a word. Called again when an operation stopped it in between. */
  next(restarted: boolean): Promise<{ prompt: string | null; resumed: boolean }>;
  /** Where it starts, relative to the workspace. */
  at?: string | undefined;
  onOutput?(text: string): void;
  onError?(chunk: Buffer): void;
}

/** Drives an agent until its work is done. */
export function pluginWorker(options: PluginOptions): Worker {
  const { plugin, gateway } = options;
  return {
    name: plugin.name,
    work: async (scope, signal, restarted) => {
      const { files } = scope;
      if (!files?.config) throw new Error(`${scope.ref.name} has no files here, so nothing can run in it.`);
      const sandbox = await files.sandbox();
      const urls: Urls = sandbox.listener ? gateway.accept(sandbox.listener, PORT) : gateway.urls;
      const over = new AbortController();
      const both = AbortSignal.any([signal, over.signal]);
      const calls = followCalls(scope, { traits: plugin.traits, taskOf: plugin.taskOf, signal });
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
      const serving = gateway.serve(scope, both, { inside: calls.insideOf, calls, hook });
      try {
        const started = plugin.start({
          program: options.program,
          config: files.config.path,
          urls,
          session: options.session,
          args: options.args,
          ...(await options.next(restarted)),
        });
        const { code } = await sandbox.exec({
          argv: started.argv,
          env: started.env,
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
      }
    },
  };
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
