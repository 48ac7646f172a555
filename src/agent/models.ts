/** Model ports by name. */
import type { Line } from "../gateway/call.ts";
import { type Limiter, makeLimiter } from "../gateway/limiter.ts";
import { type Prices, priceOf } from "../gateway/prices.ts";
import type { Provider } from "../gateway/protocol.ts";
import { sharedLimiter } from "../gateway/shared.ts";
import { makeSender, type Sender, type Upstream, upstreamOf } from "../gateway/upstream.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { Invalid } from "./errors.ts";
import { ModelError, type ModelPort, type Params } from "./model.ts";
import { functionPort } from "./ports/function.ts";
import { type Api, providerPort } from "./ports/provider.ts";
import type { Model } from "./run.ts";
import { scriptPort } from "./script.ts";
import { BUILTIN_TABLE, type Entry, knownEntry, type Table, userTable } from "./table.ts";

export interface ModelOptions {
  /** Where keys and addresses of providers are read from. */
  env?: NodeJS.ProcessEnv;
  /** The user's table. */
  table?: Table;
  /** Beside those that are known. */
  prices?: Prices;
  /** What keeps requests back; by default one that the ports of this process share. */
  limiter?: Limiter;
}

/** How a run on a store opens models: by the user's table; all runs there wait for a provider together. */
export const optionsIn = (store: EmbeddedStore): ModelOptions => ({
  table: userTable(store.directory),
  limiter: sharedLimiter(store.cache("limits")),
});

/** So many names may stand for one another. */
const MOST = 10;

/**
 * The port that a name stands for: `haiku`, `gpt-5.1`, `http://localhost:8000/v1#NAME`, `script:FILE`, one of the user's table. Throws a `ModelError`
 * for a name that is none, a script that is broken, a provider whose key is not there.
 */
export function openModel(name: string, options: ModelOptions = {}): ModelPort {
  const { env = process.env, table = {}, prices } = options;
  let real = name;
  for (let tries = 0; tries < MOST; tries++) {
    const file = /^script:(.+)$/s.exec(real)?.[1];
    if (file !== undefined) return scriptPort(file);
    const listed = own(table, real) ?? own(BUILTIN_TABLE, real);
    if (typeof listed === "string") {
      real = listed;
      continue;
    }
    const entry = listed ?? knownEntry(real) ?? serverEntry(real);
    if (!entry) throw new ModelError(unknown(name, real), false);
    const upstream = upstreamFor(entry, name, env);
    const { api, model, context, price = priceOf(model, prices) } = entry;
    const key = keyFor(entry, name, upstream, env);
    return providerPort({ model, params: paramsOf(entry, api), context, price, upstream, key }, lineOf(options, env));
  }
  throw new ModelError(`The name ${JSON.stringify(name)} stands for itself in the table of models.`, false);
}

const own = (table: Table, name: string): Entry | string | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;

const unknown = (name: string, real: string): string => {
  const through = real === name ? "" : `, for which ${JSON.stringify(name)} stands`;
  return `There is no model ${JSON.stringify(real)}${through}: use haiku, sonnet, opus, a name of Anthropic's or OpenAI's (claude-…, gpt-…), a server's (http://HOST/v1#NAME), script:FILE, or one of your table of models.`;
};

/** A server at an address; the name of its model stands behind a #. */
function serverEntry(name: string): Entry | null {
  if (!/^https?:\/\//i.test(name)) return null;
  const [, url, model] = /^([^#]+)#(.+)$/s.exec(name) ?? [];
  if (url === undefined || model === undefined)
    throw new ModelError(`A server's model has its name behind a #: http://HOST/v1#NAME.`, false);
  return { api: "openai-chat", model, url };
}

/** What each request has beside its conversation. */
function paramsOf({ output, params = {} }: Entry, api: Api): Params & { api: Api } {
  if (api === "anthropic-messages") return { api, max_tokens: output ?? 8192, ...params };
  if (api === "openai-responses")
    return { api, store: false, ...(output !== undefined && { max_output_tokens: output }), ...params };
  return { api, ...(output !== undefined && { max_completion_tokens: output }), ...params };
}

const providerOf = (api: Api): Provider => (api === "anthropic-messages" ? "anthropic" : "openai");

function upstreamFor({ api, url }: Entry, name: string, env: NodeJS.ProcessEnv): Upstream {
  // No password may stand in a store, where the name of a run's model does.
  if (url !== undefined && /^https?:\/\/[^/?#]*@/i.test(url))
    throw new ModelError(
      "The address of a model must have no password in it: name a variable that holds its key in your table of models.",
      false,
    );
  try {
    return upstreamOf(providerOf(api), env, url);
  } catch (error) {
    const { message } = error as Error;
    throw new ModelError(url === undefined ? message : `The address of ${JSON.stringify(name)} is none.`, false);
  }
}

/** What says who asks. A key of the environment goes only where the environment, or the user's table, says: to no server that was merely named. */
function keyFor({ api, url, key }: Entry, name: string, upstream: Upstream, env: NodeJS.ProcessEnv): Key {
  const anthropic = api === "anthropic-messages";
  const as = (value: string): Key => (anthropic ? { "x-api-key": value } : { authorization: `Bearer ${value}` });
  if (key !== undefined) {
    const value = env[key];
    if (value) return as(value);
    throw new ModelError(`There is no key for the model ${JSON.stringify(name)}: ${key} is not set.`, false);
  }
  const provider = providerOf(api);
  if (url !== undefined && upstream.base.origin !== upstreamOf(provider, env).base.origin) return {};
  const value = anthropic ? env.ANTHROPIC_API_KEY : env.OPENAI_API_KEY;
  if (value) return as(value);
  if (anthropic && env.ANTHROPIC_AUTH_TOKEN) return { authorization: `Bearer ${env.ANTHROPIC_AUTH_TOKEN}` };
  if (!upstream.own) return {};
  const which = anthropic ? "ANTHROPIC_API_KEY" : "OPENAI_API_KEY";
  throw new ModelError(
    `There is no key for the model ${JSON.stringify(name)}: set ${which} (the built-in agent uses no login of another program).`,
    false,
  );
}
type Key = { [name: string]: string };

let sender: Sender | null = null;
let limiter: Limiter | null = null;

function lineOf(options: ModelOptions, env: NodeJS.ProcessEnv): Line {
  sender ??= makeSender();
  limiter ??= makeLimiter();
  return { send: sender.send, limiter: options.limiter ?? limiter, env };
}

/** The port of a model as a program names it. Throws `Invalid` where there is none. */
export function modelOf(model: Model | undefined, agent: string, options?: ModelOptions): ModelPort {
  if (model === undefined)
    throw new Invalid(`${agent} has no model: name one in its definition, or where it is started.`);
  if (typeof model === "string") return openModel(model, options);
  return typeof model === "function" ? functionPort(model) : model;
}
