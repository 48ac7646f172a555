/** A gateway that records into a scope of its own, before a scripted provider. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { type Gateway, type GatewayOptions, openGateway } from "../../src/gateway/gateway.ts";
import type { Around } from "../../src/gateway/session.ts";
import { lookAtMain } from "../../src/run/main.ts";
import { beginRun, createRun, placeRun, type Task } from "../../src/run/start.ts";
import { type Grants, NO_GRANTS } from "../../src/scope/registry.ts";
import { attach, type LiveScope } from "../../src/scope/scope.ts";
import { type Item, itemsOf } from "../../src/scope/thread.ts";
import type { Frame } from "../../src/trace/frame.ts";
import type { Step } from "../../src/trace/seal.ts";
import { openStore } from "../../src/trace/store.ts";
import { framesOf, line } from "./agent-rig.ts";
import { type Answer, type Provider, startProvider } from "./provider.ts";

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** Whether it came to its end. */
  whole: boolean;
}

export interface PostOptions {
  headers?: { [name: string]: string };
  /** Called with all that has come so far. */
  onData?: (soFar: Buffer) => Promise<void> | void;
  signal?: AbortSignal;
  method?: string;
}

/** Posts as a client does, and reads on only when `onData` is done. */
export function post(
  url: string,
  body: unknown,
  { headers = {}, onData, signal, method = "POST" }: PostOptions = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const bytes = Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
    const request = httpRequest(url, {
      method,
      headers: { "content-type": "application/json", "content-length": bytes.length, ...headers },
      ...(signal && { signal }),
    });
    request.on("error", reject);
    request.on("response", async (response) => {
      const chunks: Buffer[] = [];
      let whole = true;
      try {
        for await (const chunk of response) {
          chunks.push(chunk as Buffer);
          await onData?.(Buffer.concat(chunks));
        }
      } catch {
        whole = false;
      }
      resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks), whole });
    });
    request.end(method === "GET" ? undefined : bytes);
  });
}

export interface GatewayRig {
  directory: string;
  scope: LiveScope;
  provider: Provider;
  gateway: Gateway;
  messages(body: object, options?: PostOptions): Promise<Reply>;
  responses(body: object, options?: PostOptions): Promise<Reply>;
  chat(body: object, options?: PostOptions): Promise<Reply>;
  /** Frames from step 1 on, in short. */
  lines(): Promise<string[]>;
  frames(): Promise<Frame[]>;
  steps(kind: string): Step[];
  items(thread?: string): Promise<Item[]>;
  /** Ends the gateway, as Ctrl-C does. */
  stop(): Promise<void>;
  /** Serves again. */
  serve(around?: Around): void;
  end(): Promise<void>;
}

export interface RigOptions extends Partial<GatewayOptions> {
  grants?: Grants;
  around?: (scope: LiveScope) => Around;
}

export async function gatewayRig(answer: Answer, rigged: RigOptions = {}): Promise<GatewayRig> {
  const { grants = NO_GRANTS, around, ...options } = rigged;
  const directory = mkdtempSync(`${tmpdir()}/shepherd-gateway-`);
  const workspace = `${directory}/ws`;
  mkdirSync(workspace);
  const store = await openStore(`${directory}/store`);
  const main = await lookAtMain(store, workspace);
  const task: Task = { worker: "gateway", text: "gateway" };
  await createRun(store, { task, workspace: main.workspace, name: "g", grants });
  const scope = await attach(store, "g");
  await placeRun(scope, await beginRun(scope, task), main, task);
  const provider = await startProvider(answer);
  const base = new URL(provider.url);
  const gateway = await openGateway({
    upstreams: {
      anthropic: { provider: "anthropic", base, own: true },
      openai: { provider: "openai", base: new URL(`${provider.url}/v1`), own: true },
    },
    env: {},
    ...options,
  });
  let stopping = new AbortController();
  let serving: Promise<void> = Promise.resolve();
  const serve = (given?: Around): void => {
    stopping = new AbortController();
    serving = gateway.serve(scope, stopping.signal, given ?? around?.(scope));
    serving.catch(() => {});
  };
  serve();
  const stop = async (): Promise<void> => {
    stopping.abort();
    await serving;
    serving = Promise.resolve();
  };
  return {
    directory,
    scope,
    provider,
    gateway,
    messages: (body, how) => post(`${gateway.urls.anthropic}/v1/messages?beta=true`, body, how),
    responses: (body, how) => post(`${gateway.urls.openai}/responses`, body, how),
    chat: (body, how) => post(`${gateway.urls.openai}/chat/completions`, body, how),
    lines: async () => (await framesOf(scope)).filter(({ n }) => n !== 0).map(line),
    frames: () => framesOf(scope),
    steps: (kind) => [...scope.writer.fold.steps.values()].filter(({ intent }) => intent.kind === kind),
    items: (thread = "main") => itemsOf(store, scope.head().state?.threads[thread]),
    stop,
    serve,
    end: async () => {
      await stop();
      await gateway.close();
      await provider.close();
      await scope.close().catch(() => {});
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
