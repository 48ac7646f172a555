import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { ModelEvent, ModelPort, ModelRequest } from "../../src/agent/model.ts";
import { openModel } from "../../src/agent/models.ts";
import { settleModel } from "../../src/agent/settle.ts";
import { schema, type Tool, type ToolResult } from "../../src/agent/tools/tool.ts";
import { lookAtMain } from "../../src/run/main.ts";
import { recover } from "../../src/run/recover.ts";
import { beginRun, createRun, placeRun, type Task } from "../../src/run/start.ts";
import type { Handler } from "../../src/scope/effect.ts";
import { type Files, openFiles } from "../../src/scope/files.ts";
import { findScope, type Grants, NO_GRANTS } from "../../src/scope/registry.ts";
import { attach, type LiveScope } from "../../src/scope/scope.ts";
import { type Block, type Item, itemsOf } from "../../src/scope/thread.ts";
import { encodeJson } from "../../src/trace/bytes.ts";
import type { Frame } from "../../src/trace/frame.ts";
import { type EmbeddedStore, openStore } from "../../src/trace/store.ts";
import { removeAll } from "./remove.ts";

export class Killed extends Error {}

/** A store whose process "dies": from the given sequence number on, no frame is written any more. */
export function dyingStore(store: EmbeddedStore, seq: number): EmbeddedStore {
  let dead = false;
  const append: EmbeddedStore["logs"]["append"] = async (log, from, epoch, frames) => {
    dead ||= from >= seq;
    if (dead) throw new Killed("killed");
    return store.logs.append(log, from, epoch, frames);
  };
  return { ...store, logs: { ...store.logs, append } };
}

export interface Rig {
  directory: string;
  /** The user's directory. */
  workspace: string;
  store: EmbeddedStore;
  /** A run of the agent with this task, driven; its files are those of the workspace. */
  start(
    task?: string,
    options?: { store?: EmbeddedStore; name?: string; handlers?: Handler[]; grants?: Partial<Grants> },
  ): Promise<LiveScope>;
  /** Drives a scope that exists, with its files as at its head; settles what is in doubt first, unless told not to. */
  drive(name: string, options?: { store?: EmbeddedStore; recover?: boolean }): Promise<LiveScope>;
  /** Another process's view of the store, for which nobody else lives. */
  successor(): Promise<EmbeddedStore>;
  /** Writes a script and gives its port. */
  script(...lines: object[]): ModelPort;
  end(): Promise<void>;
}

export async function agentRig(files: { [name: string]: string } = {}): Promise<Rig> {
  const directory = mkdtempSync(`${tmpdir()}/shepherd-agent-`);
  const workspace = `${directory}/ws`;
  mkdirSync(workspace);
  for (const [name, text] of Object.entries(files)) writeFileSync(`${workspace}/${name}`, text);
  const stores: EmbeddedStore[] = [await openStore(`${directory}/store`)];
  const store = stores[0]!;
  const scopes: LiveScope[] = [];
  let scripts = 0;

  const open = async (name: string, options: { store?: EmbeddedStore; handlers?: Handler[] }): Promise<LiveScope> => {
    const on = options.store ?? store;
    const scope = await attach(on, name, {
      ...(options.handlers && { handlers: options.handlers }),
      files: async ({ ref, grants }): Promise<Files> => openFiles(on, { log: ref.log, workspace, grants }),
    });
    scopes.push(scope);
    return scope;
  };

  return {
    directory,
    workspace,
    store,
    start: async (text = "fix it", options = {}) => {
      const main = await lookAtMain(store, workspace);
      const task: Task = { worker: "agent", text };
      const name = options.name ?? "fix";
      await createRun(store, { task, workspace: main.workspace, name, grants: { ...NO_GRANTS, ...options.grants } });
      const scope = await open(name, options);
      await placeRun(scope, await beginRun(scope, task), main, task);
      const { state, carry } = scope.head();
      await scope.files!.restore(state!.roots.workspace, carry, main.sources);
      return scope;
    },
    drive: async (name, options = {}) => {
      const scope = await open(name, options);
      if (options.recover !== false)
        await recover(scope, { model: async (of, step) => void (await settleModel(of, step)), again: async () => {} });
      const { state, carry } = scope.head();
      await scope.files!.restore(state!.roots.workspace, carry);
      return scope;
    },
    successor: async () => {
      const next = await openStore(`${directory}/store`, { alive: () => false });
      stores.push(next);
      return next;
    },
    script: (...lines) => {
      const file = `${directory}/script-${++scripts}.jsonl`;
      writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
      return openModel(`script:${file}`);
    },
    end: async () => {
      for (const scope of scopes) await scope.close().catch(() => {});
      for (const each of stores) await each.close();
      removeAll(directory);
    },
  };
}

/** A port that also keeps the bytes of each request. */
export function recording(port: ModelPort): ModelPort & { sent: Buffer[]; requests: ModelRequest[] } {
  const sent: Buffer[] = [];
  const requests: ModelRequest[] = [];
  return {
    name: port.name,
    sent,
    requests,
    call: (request, signal) => {
      sent.push(encodeJson(request));
      requests.push(request);
      return port.call(request, signal);
    },
  };
}

/** A port whose answers are functions of the request, one for each call of it in turn. */
export function portOf(
  ...answers: Array<(request: ModelRequest, signal: AbortSignal) => AsyncIterable<ModelEvent>>
): ModelPort {
  let at = 0;
  return { name: "test", call: (request, signal) => answers[at++]!(request, signal) };
}

export const text = (words: string): ModelEvent => ({ type: "block", block: { type: "text", text: words } });
export const call = (id: string, name: string, input: object = {}): ModelEvent => ({
  type: "block",
  block: { type: "call", id, name, input } as Block,
});
export const end: ModelEvent = { type: "end", stop: "end", usage: { input: 0, output: 0 } };

export async function* stream(...events: Array<ModelEvent | Promise<unknown>>): AsyncGenerator<ModelEvent> {
  for (const event of events) {
    if (event instanceof Promise) await event;
    else yield event;
  }
}

/** A tool of the tests, without a sandbox. What it gives is the text, or part, of its result. */
export function tool(
  name: string,
  lock: Tool["lock"],
  run: (input: { [key: string]: unknown }, signal: AbortSignal) => Promise<unknown>,
): Tool {
  return {
    name,
    description: name,
    input: schema({ path: { type: "string", description: "" }, text: { type: "string", description: "" } }, [
      "path",
      "text",
    ]),
    lock,
    tier: "reversible",
    run: async (input, { signal }) => {
      const result = await run(input, signal);
      return {
        status: "done",
        text: "ok",
        ...(typeof result === "string" ? { text: result } : (result as Partial<ToolResult>)),
      };
    },
  };
}

export const items = (scope: LiveScope): Promise<Item[]> => itemsOf(scope.store, scope.head().state?.threads.main);

/** A conversation in short: `user`, `asst(A,B)`, `A=done`, by the ids of calls. */
export const shape = (list: readonly Item[]): string[] =>
  list.map((item) => {
    if (item.role === "user") return "user";
    if (item.role === "result") return `${item.call}=${item.status}`;
    return `asst(${item.content.map((block) => (block.type === "call" ? block.id : block.type === "text" ? `"${block.text}"` : block.type)).join(",")})`;
  });

export async function framesOf(scope: LiveScope): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const frame of scope.store.logs.read(scope.ref.log)) frames.push(frame);
  return frames;
}

/** A frame in short: `1 intent model`, `2 part attempt 2`, `2 outcome done`, `note run`. */
export const line = ({ n, phase, facts }: Frame): string => {
  const of = n === null ? "" : `${n} `;
  if (phase === "intent") return `${of}intent ${facts.kind}`;
  if (phase === "outcome") return `${of}outcome ${facts.status}`;
  if (phase === "note") return `${of}note ${facts.note}`;
  return `${of}part ${facts.part}${facts.attempt === undefined ? "" : ` ${facts.attempt}`}`;
};

export const exists = async (store: EmbeddedStore, name: string): Promise<boolean> =>
  (await findScope(store, name)) !== null;
