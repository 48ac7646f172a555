/** Runs of coding agents of the user's: what `run` and `resume` need besides what all runs need. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { NOWHERE } from "../gateway/answers.ts";
import { budgetHandler } from "../gateway/budget.ts";
import { openGateway } from "../gateway/gateway.ts";
import { PRICES } from "../gateway/prices.ts";
import type { Sender } from "../gateway/upstream.ts";
import { masked } from "../meta/mask.ts";
import { keyFiles } from "../plugins/network.ts";
import type { Detected, Plugin } from "../plugins/plugin.ts";
import { hiddenFrom, pluginNamed } from "../plugins/plugins.ts";
import { keepSession } from "../plugins/sessions.ts";
import { PORT, pluginWorker } from "../plugins/worker.ts";
import type { Worker } from "../run/drive.ts";
import type { Task } from "../run/start.ts";
import { detect } from "../scope/exec/abilities.ts";
import type { FilesOptions } from "../scope/files.ts";
import { type Grants, workspacePath } from "../scope/registry.ts";
import type { LiveScope } from "../scope/scope.ts";
import { link } from "../trace/bytes.ts";
import type { Carry } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { capture } from "../world/capture.ts";
import { Exit } from "./errors.ts";
import { togetherIn, upstreamsOf } from "./gateway.ts";
import type { Output } from "./output.ts";

/** A coding agent that is about to work on a run, or already does. */
export interface Coding {
  /** Name of the plugin. */
  readonly name: string;
  /** Whether it has the terminal: nothing else is written there while it works. */
  readonly interactive: boolean;
  /** What the scope's files must know of it. */
  agent: NonNullable<FilesOptions["agent"]>;
  /** The part of the user's configuration that a new run starts with. */
  carry(workspace: string): Promise<Carry>;
  /** Called with the scope before it works. */
  prepare(scope: LiveScope): Promise<void>;
  /**
   * @param prompt what to say first; null to go on without a word
   * @param open what becomes of open calls, where that is not what follows from how it stands
   */
  worker(workspace: string, prompt: string | null, open?: "perform" | "drop" | undefined): Worker;
  close(): Promise<void>;
}

export interface Again {
  /** What answers in the place of a provider. */
  sender: Sender;
  /** What it was granted then. */
  grants: Grants;
}

/** What was told of places that may not be reached: several runs say the same. */
const refusals = new Set<string>();
/** What was found of each plugin's program: to ask one for its version takes a while, and several runs need it. */
const found = new Map<string, Promise<Detected>>();

/**
 * The program of a task's plugin. Throws a sentence where it cannot work here; what is less than it should be is told once.
 * @param asks whether it is to ask a provider, and so needs what that takes
 */
export function requireProgram(out: Output, task: Task, asks = true): Promise<Detected> {
  const plugin = pluginOf(task);
  const known = found.get(plugin.name) ?? findProgram(out, plugin, asks);
  found.set(plugin.name, known);
  return known;
}

async function findProgram(out: Output, plugin: Plugin, asks: boolean): Promise<Detected> {
  // What this machine allows is asked meanwhile: both wait for programs. Who needs the answer hears why there is none.
  detect().catch(() => {});
  const detected = await plugin.detect(process.env);
  if (!detected)
    throw new Exit(
      4,
      `There is no program ${plugin.command} on your PATH: install it, then try \`${plugin.command} --version\`.`,
    );
  for (const { severity, what } of plugin.problems(process.env, detected)) {
    if (severity === "error" && asks) throw new Exit(4, what);
    if (severity === "warning") out.warn(`shepherd: ${what}`);
  }
  return detected;
}

/**
 * Opens what a task's plugin needs to work. Throws where it cannot work here.
 * @param again of a run that is driven again: then what it prints is not shown
 */
export async function openCoding(store: EmbeddedStore, out: Output, task: Task, again?: Again): Promise<Coding> {
  const plugin = pluginOf(task);
  const detected = await requireProgram(out, task, !again);
  const place = plugin.configPlace(process.env);
  // A run sees its view of it there; the agent would make it too. `uninstall` takes it away if it is still empty.
  mkdirSync(place.path, { recursive: true, mode: 0o700 });
  const { samePath, why } = await detect();
  // On record nobody needs a key, nor waits for others.
  const ways = again
    ? { upstreams: NOWHERE, env: {}, sender: again.sender }
    : { upstreams: upstreamsOf([]), ...togetherIn(store) };
  const gateway = await openGateway({ prices: PRICES, ...ways });
  const interactive = !again && task.plugin!.interactive === true && out.terminal && process.stdin.isTTY === true;
  return {
    name: plugin.name,
    interactive,
    agent: {
      config: place.path,
      hide: [...hiddenFrom(plugin, process.env), ...keyFiles(homedir())],
      network: samePath ? { port: PORT } : "host",
    },
    carry: (workspace) => gathered(store, plugin, workspace),
    prepare: async (scope) => {
      // What a killed owner left of it, before the files are set back.
      await keepSession(scope, plugin.session.path(await workspacePath(store, scope.ref.log), task.plugin!.session));
      scope.handlers.push(budgetHandler({}, PRICES, () => scope.writer.fold));
      await scope.writer.note(null, {
        note: "agent",
        plugin: plugin.name,
        version: detected.version,
        support: detected.support,
        enforced: samePath,
        network: samePath ? (scope.grants.network ?? "gateway") : "host",
      });
      if (!samePath && scope.grants.network !== "host")
        out.warn(`shepherd: The run has the network of this machine, and what it connects to is not seen. ${why}`);
    },
    worker: (workspace, prompt, open) =>
      pluginWorker({
        plugin,
        program: detected.program,
        gateway,
        session: task.plugin!.session,
        args: task.plugin!.args,
        at: task.at,
        interactive,
        task: task.plugin!.interactive ? null : task.text,
        prompt,
        open,
        workspace,
        ...(!again && {
          onOutput: (text) => out.line(text),
          onError: (chunk) => void process.stderr.write(chunk),
          onRefused: (sentence) => {
            if (!refusals.has(sentence) && !interactive) out.warn(`shepherd: ${masked(sentence)}`);
            refusals.add(sentence);
          },
        }),
        instead: again?.grants,
      }),
    close: () => gateway.close(),
  };
}

function pluginOf(task: Task): Plugin {
  const plugin = task.plugin && pluginNamed(task.plugin.name);
  if (!plugin)
    throw new Exit(
      2,
      `There is no plugin ${task.plugin?.name} here: \`shepherd plugin add FILE\` adds one, \`shepherd plugin list\` lists them.`,
    );
  return plugin;
}

async function gathered(store: EmbeddedStore, plugin: Plugin, workspace: string): Promise<Carry> {
  const into = mkdtempSync(join(tmpdir(), "shepherd-config-"));
  try {
    plugin.gather(plugin.configPlace(process.env), workspace, into);
    const { tree } = await capture(into, store.objects);
    return { config: link("tree", tree) };
  } finally {
    rmSync(into, { recursive: true, force: true });
  }
}
