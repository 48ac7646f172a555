/** Agents that a module of the user's exports: `shepherd run FILE#NAME`, and `resume` of such a run. */
import { statSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { framesToTheEnd } from "../run/follow.ts";
import { endOf } from "../run/lifecycle.ts";
import type { Left } from "../run/operate.ts";
import type { Task } from "../run/start.ts";
import { findScope, type ScopeRef } from "../scope/registry.ts";
import { readLog } from "../scope/view.ts";
import { frameHash } from "../trace/logs.ts";
import { startFold } from "../trace/seal.ts";
import { tellEnd } from "./end.ts";
import { Exit, type ExitCode } from "./errors.ts";
import { guardsOf } from "./guards.ts";
import { LANDS, type Land, landOf } from "./landing.ts";
import type { Launch } from "./launch.ts";
import { checkedModel } from "./model.ts";
import { noticesOf } from "./notices.ts";
import { lacks } from "./partial.ts";
import { formatRow, rowOf } from "./rows.ts";
import { findWorkspace } from "./select.ts";
import { type Context, choice, type Flags, list, text } from "./verb.ts";

/** What is used of an agent. It may come of another copy of the library than this one, so it is known by its form. */
interface Exported {
  name: string;
  start(input: unknown, options: object): Started;
  resume(run: string, options: object): Started;
  run(run: string, options: object): Known;
}
/** A run that somebody else drives, or nobody. */
export interface Known {
  revert(n: number, options: { acknowledge: boolean }): Promise<{ n: number; outside: Left[] }>;
  discard(): Promise<void>;
}
interface Started {
  readonly scope: Promise<string>;
  readonly result: Promise<unknown>;
  cancel(reason: string): Promise<void>;
}

const isAgent = (value: unknown): value is Exported =>
  typeof value === "object" &&
  value !== null &&
  ["start", "resume", "run"].every((name) => typeof (value as { [name: string]: unknown })[name] === "function") &&
  typeof (value as Exported).name === "string";

const MODULE = /^(.+\.[cm]?[jt]sx?)(?:#([\w$]+))?$/;

/** Whether a word of the command line names a module, and not a task. */
export const namesModule = (word: string | undefined): word is string =>
  word !== undefined && !/\s/.test(word) && MODULE.test(word);

/** Options of `run` that an agent of a module takes. */
const TAKES = ["input", "allow", "model", "scope", "land", "read-only", "write", "guard", "partial", "json"];

/** Starts an agent that a module exports. */
export async function runProgram(context: Context, flags: Flags, args: string[]): Promise<ExitCode> {
  const { cwd } = context;
  const [module, ...more] = args as [string, ...string[]];
  if (more.length > 0)
    throw new Exit(2, `An agent is given its input by --input, so leave ${JSON.stringify(more[0])} out.`);
  const odd = Object.keys(flags).find((flag) => flags[flag] !== undefined && !TAKES.includes(flag));
  if (odd) throw new Exit(2, `--${odd} is not for an agent of a module: leave it out.`);
  const input = inputOf(text(flags, "input"));
  const agent = await agentIn(cwd, module);
  const model = text(flags, "model");
  const store = await context.store();
  const { id } = await findWorkspace(store, cwd);
  const land = await landOf(context, choice(flags, "land", LANDS), { workspace: id, count: 1 });
  const name = text(flags, "scope");
  const guards = guardsOf(flags);
  const options = {
    ...drivenBy(context, store.directory, land),
    in: cwd,
    module: resolvedModule(cwd, module),
    grants: {
      allow: list(flags, "allow"),
      readOnly: list(flags, "read-only").map((path) => resolve(cwd, path)),
      writable: list(flags, "write").map((path) => resolve(cwd, path)),
    },
    ...(guards && { guards }),
    ...(model !== undefined && { model: checkedModel(context, model) }),
    ...(name !== undefined && { name }),
  };
  return follow(context, flags, land, agent.start(input, options));
}

/** Goes on with a run of an agent that a module exports. */
export async function resumeProgram(
  context: Context,
  flags: Flags,
  run: ScopeRef,
  { agent }: Task,
  instruction: string | undefined,
): Promise<ExitCode> {
  const module = agent!.module!;
  if (flags.open !== undefined) throw new Exit(2, `${run.name} is a run of an agent of a module: leave --open out.`);
  const exported = await agentIn(context.cwd, module);
  const store = await context.store();
  const land = await landOf(context, choice(flags, "land", LANDS), {
    workspace: run.workspace,
    count: 1,
    run: run.name,
  });
  const model = text(flags, "model");
  const options = {
    ...drivenBy(context, store.directory, land),
    ...(model !== undefined && { model: checkedModel(context, model) }),
    ...(instruction !== undefined && { instruction }),
  };
  return follow(context, flags, land, exported.resume(run.name, options));
}

// What lands at the end is asked for here.
const drivenBy = ({ signal }: Context, store: string, land: Land) => ({
  signal,
  store,
  land: land === "live" ? "live" : "never",
});

function inputOf(given: string | undefined): unknown {
  if (given === undefined) return undefined;
  try {
    return JSON.parse(given) as unknown;
  } catch {
    throw new Exit(2, `--input takes JSON, and ${JSON.stringify(given)} is none: write --input '{"name": "value"}'.`);
  }
}

function resolvedModule(cwd: string, word: string): string {
  const [, file = "", name] = MODULE.exec(word)!;
  return `${resolve(cwd, file)}${name === undefined ? "" : `#${name}`}`;
}

/** The agent that `FILE#NAME` means; its only one without a name. The code of the module runs in this process. Throws `Exit`. */
export async function agentIn(cwd: string, word: string): Promise<Exported> {
  const [, file = "", name] = MODULE.exec(word)!;
  const path = resolve(cwd, file);
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) throw new Exit(2, `There is no file ${path}.`);
  const exported = await load(path);
  const agents = Object.entries(exported).filter(([, value]) => isAgent(value));
  const names = agents.map(([each]) => each);
  if (agents.length === 0) throw new Exit(2, `${path} exports no agent: \`export const NAME = agent("NAME", {…})\`.`);
  if (name === undefined && agents.length > 1)
    throw new Exit(2, `Which agent? ${path} exports ${names.join(", ")}: write ${file}#${names[0]}.`);
  const found = name === undefined ? agents[0] : agents.find(([each]) => each === name);
  if (!found) throw new Exit(2, `${path} exports no agent ${name}: there is ${names.join(", ")}.`);
  return found[1] as Exported;
}

async function load(path: string): Promise<object> {
  const url = pathToFileURL(path).href;
  try {
    if (!/\.[cm]?tsx?$/.test(path) || readsTypes()) return (await import(url)) as object;
    const loader = loaderNear(path);
    if (!loader)
      throw new Exit(
        2,
        `Node ${process.versions.node} does not read TypeScript: use Node 22.18 or later, install tsx in the project, or give a .js or .mjs file.`,
      );
    const { tsImport } = (await import(loader)) as { tsImport: (url: string, from: string) => Promise<object> };
    return await tsImport(url, url);
  } catch (error) {
    if (error instanceof Exit) throw error;
    const why = error instanceof Error ? error.message : String(error);
    const lacks = /Cannot find package 'shepherd-ai'/.test(why) ? " Install it there: `npm install shepherd-ai`." : "";
    throw new Exit(2, `${path} cannot be loaded: ${why.split("\n")[0]!.replace(/\.$/, "")}.${lacks}`);
  }
}

/** Whether this Node leaves types out by itself. */
const readsTypes = (): boolean => Boolean((process.features as { typescript?: unknown }).typescript);

/** A loader of the user's that reads TypeScript, if the project has one. */
function loaderNear(path: string): string | null {
  try {
    return pathToFileURL(createRequire(path).resolve("tsx/esm/api")).href;
  } catch {
    return null;
  }
}

/** Shows the steps of a run until it has ended, and tells how. */
async function follow(context: Context, flags: Flags, land: Land, run: Started): Promise<ExitCode> {
  const { out, signal } = context;
  const store = await context.store();
  const settled = run.result.then(
    (result) => ({ result, error: null }),
    (error: unknown) => ({ result: null, error: error instanceof Error ? error : new Error(String(error)) }),
  );
  const name = await run.scope.catch(() => null);
  if (name === null) {
    const { error } = await settled;
    throw error?.name === "Invalid" ? new Exit(2, error.message) : error;
  }
  const { log } = (await findScope(store, name))!;
  const stop = new AbortController();
  const { seq } = await store.logs.end(log);
  const told = (async () => {
    const fold = startFold((await store.logs.header(log))!);
    const notice = noticesOf(out, name);
    for await (const frame of framesToTheEnd(store, log, stop.signal)) {
      const sealed = fold.push(frame, frameHash(frame));
      if (frame.seq < seq) continue;
      notice(frame);
      for (const step of sealed) {
        const row = await rowOf(store, name, step, true);
        out.object(row);
        out.line(formatRow(row, out));
      }
      if (frame.phase === "note" && frame.facts.note === "run" && frame.facts.state === "ended") return;
    }
  })();
  const { result, error } = await settled;
  // Where it never came to its end, there is nothing to wait for.
  if (error) stop.abort();
  await told;
  if (error?.name === "InDoubt" || error?.name === "Conflict") throw refusalOf(error);
  if (error === null && typeof result === "string") out.line(result);
  else if (error === null && result !== null && result !== undefined) out.line(JSON.stringify(result, null, 2));
  const state = endOf(await readLog(store, log));
  const ending = error ? (signal.aborted ? "aborted" : "failed") : "done";
  const launch: Launch = { store, out, signal, several: false, land, lacks: lacks(context, flags) };
  const outcome = { name, ending: state === "aborted" ? "aborted" : ending, land, unfit: false } as const;
  return launch.lacks.code(
    await tellEnd(launch, {
      ...outcome,
      error: error?.message ?? null,
      result: JSON.parse(JSON.stringify(result ?? null)),
    }),
  );
}

/** What ends a command where an error of the library's family does, of whichever copy. */
export const refusalOf = (error: Error): Exit =>
  new Exit(
    error.name === "InDoubt" || error.name === "Conflict" ? 3 : 1,
    error.message,
    (error as { hint?: string }).hint || undefined,
  );
