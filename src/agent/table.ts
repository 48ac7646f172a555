/** What the names of models stand for: a table that is built in, and one of the user's, which comes first. */
import { readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { type Price, readPrices } from "../gateway/prices.ts";
import { isMembers, type Members } from "../gateway/protocol.ts";
import type { Json } from "../trace/ports.ts";
import { ModelError } from "./model.ts";
import { APIS, type Api } from "./ports/provider.ts";

/** One model of a table, as its file has it. */
export interface Entry {
  api: Api;
  /** As its provider calls it. */
  model: string;
  /** Base address of the server; else that of the provider. */
  url?: string;
  /** Name of the variable that holds the key. */
  key?: string;
  /** So many tokens a conversation, and an answer, may have. */
  context?: number;
  output?: number;
  /** What else it is asked with each request, by the provider's names. */
  params?: { [name: string]: Json };
  /** In US dollars for a million tokens. */
  price?: Price;
}

/** What a name stands for, or another name that it is short for. */
export interface Table {
  [name: string]: Entry | string;
}

export const BUILTIN_TABLE: Table = {
  haiku: "claude-haiku-5-5",
  sonnet: "claude-sonnet-5-5",
  opus: "claude-opus-5-5",
};

/** What is known of models by how they are called. */
const KNOWN: ReadonlyArray<{ is: RegExp; api: Api; context?: number; output?: number; params?: Members }> = [
  { is: /^claude-3-haiku/, api: "anthropic-messages", context: 200_000, output: 4096 },
  { is: /^claude-3-/, api: "anthropic-messages", context: 200_000, output: 8192 },
  { is: /^claude-(opus|sonnet|haiku|fable|mythos)-5/, api: "anthropic-messages", context: 1_000_000, output: 64_000 },
  { is: /^claude-/, api: "anthropic-messages", context: 200_000, output: 32_000 },
  // Reasoning comes back with the conversation, so that nothing is kept at the provider.
  {
    is: /^(gpt-5|codex-)/,
    api: "openai-responses",
    context: 272_000,
    params: { include: ["reasoning.encrypted_content"] },
  },
  { is: /^o\d/, api: "openai-responses", context: 200_000, params: { include: ["reasoning.encrypted_content"] } },
  { is: /^gpt-4\.1/, api: "openai-responses", context: 1_000_000 },
  { is: /^gpt-/, api: "openai-responses", context: 128_000 },
];

/** The entry of a name that a provider knows; null where none does. A prefix says which protocol is meant: `openai-chat:NAME`. */
export function knownEntry(name: string): Entry | null {
  const [, prefix, bare] = /^(anthropic|openai|openai-chat):(.+)$/s.exec(name) ?? [];
  const model = bare ?? name;
  const known = KNOWN.find(({ is }) => is.test(model));
  if (prefix === undefined) return known ? entry(known.api, model, known) : null;
  const api = ({ anthropic: "anthropic-messages", openai: "openai-responses", "openai-chat": "openai-chat" } as const)[
    prefix as "anthropic" | "openai" | "openai-chat"
  ];
  return entry(api, model, known?.api === api ? known : {});
}

const entry = (api: Api, model: string, { context, output, params }: Partial<(typeof KNOWN)[number]>): Entry => ({
  api,
  model,
  ...(context !== undefined && { context }),
  ...(output !== undefined && { output }),
  ...(params && { params }),
});

/** The user's table: the file that `SHEPHERD_MODELS` names, else `models.json` in the store's directory, which need not be there. */
export function userTable(directory: string, env: NodeJS.ProcessEnv = process.env): Table {
  const named = env.SHEPHERD_MODELS;
  if (!named) return readTable(join(directory, "models.json"), true);
  if (isAbsolute(named)) return readTable(named);
  throw new ModelError(
    `SHEPHERD_MODELS is ${JSON.stringify(named)}, which would be another file in each directory: write a path that begins with /.`,
    false,
  );
}

/** A table from its file. Throws a `ModelError` that says what is wrong with it. */
export function readTable(file: string, optional = false): Table {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && optional) return {};
    throw new ModelError(`The table of models ${file} cannot be read (${code}).`, false);
  }
  const wrong = (what: string): never => {
    throw new ModelError(`The table of models ${file} ${what}.`, false);
  };
  let table: unknown;
  try {
    table = JSON.parse(text);
  } catch (error) {
    wrong(`is no JSON: ${(error as Error).message.replace(/\.$/, "")}`);
  }
  if (!isMembers(table)) return wrong('is no object: write {"NAME": {"api": "openai-chat", "model": "…", "url": "…"}}');
  for (const [name, value] of Object.entries(table)) {
    if (typeof value === "string") continue;
    const odd = isMembers(value) ? misfit(value) : "is neither an object nor the name of another model";
    if (odd) wrong(`does not fit: ${JSON.stringify(name)} ${odd}`);
  }
  return table as unknown as Table;
}

const MEMBERS = ["api", "model", "url", "key", "context", "output", "params", "price"];

/** What is wrong with an entry; null if nothing is. */
function misfit(value: Members): string | null {
  const odd = Object.keys(value).find((name) => !MEMBERS.includes(name));
  if (odd !== undefined) return `has an unknown member ${JSON.stringify(odd)}: an entry has ${MEMBERS.join(", ")}`;
  if (!APIS.includes(value.api as Api)) return `needs an "api": ${APIS.join(", ")}`;
  if (typeof value.model !== "string" || value.model === "") return 'needs a "model", as its provider calls it';
  for (const name of ["url", "key"])
    if (value[name] !== undefined && typeof value[name] !== "string")
      return `has a ${JSON.stringify(name)} that is no text`;
  for (const name of ["context", "output"])
    if (value[name] !== undefined && !(Number.isSafeInteger(value[name]) && (value[name] as number) > 0))
      return `has a ${JSON.stringify(name)} that is no number of tokens`;
  if (value.params !== undefined && !isMembers(value.params)) return 'has "params" that are no object';
  if (value.price === undefined) return null;
  try {
    readPrices(JSON.stringify({ price: value.price }));
    return null;
  } catch {
    return 'has a "price" without "input" and "output", in dollars for a million tokens';
  }
}
