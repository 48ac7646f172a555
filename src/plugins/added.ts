/** Plugins from outside of this package: modules that the user has named, by their files. */
import { existsSync, statSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Plugin } from "./plugin.ts";
import { PLUGINS } from "./plugins.ts";

export interface Added {
  name: string;
  /** Absolute. */
  file: string;
}

/** Thrown with a sentence for what is no plugin. */
export class PluginError extends Error {}

const REF = "plugin/";

/** Those that the user has added, by their names. */
export const addedIn = async (store: EmbeddedStore): Promise<Added[]> =>
  (await store.refs.list(REF)).map(({ name, value }) => ({ name: name.slice(REF.length), file: value }));

/** Whether code of plugins from outside has run in this process. */
export const ranOutside = (): boolean => loaded;
let loaded = false;

/** So long a module may take until it is loaded, in ms. */
const PATIENCE = 10_000;

/** The plugin that a module is. Its code runs in this process. Throws `PluginError`. */
async function pluginIn(file: string): Promise<Plugin> {
  const found = existsSync(file) ? statSync(file) : null;
  if (!found?.isFile())
    throw new PluginError(`${file} cannot be loaded: ${found ? "it is no file" : "there is no such file"}.`);
  loaded = true;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it is not done after ${PATIENCE / 1000} seconds`)), PATIENCE);
  });
  // A module that ends the process would end each command that looks for agents, without a word.
  const ended = (): void => {
    writeSync(2, `shepherd: ${file} is no plugin: it ends the process that loads it.\n`);
    process.exitCode = 2;
  };
  process.on("exit", ended);
  let plugin: unknown;
  let lacks: string | null;
  try {
    plugin = ((await Promise.race([import(pathToFileURL(file).href), late])) as { default?: unknown }).default;
    lacks = missing(plugin);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new PluginError(`${file} cannot be loaded: ${why.split("\n")[0]!.replace(/\.$/, "")}.`);
  } finally {
    clearTimeout(timer);
    process.off("exit", ended);
  }
  if (lacks) throw new PluginError(`${file} is no plugin: ${lacks} (docs/plugins.md).`);
  return plugin as Plugin;
}

/** What every plugin has. */
const MEMBERS: { [path: string]: "string" | "function" | "number" } = {
  name: "string",
  command: "string",
  detect: "function",
  problems: "function",
  configPlace: "function",
  gather: "function",
  start: "function",
  "session.path": "function",
  "session.cut": "function",
  "session.rewrite": "function",
  asMessage: "function",
  outgoing: "function",
  traits: "function",
  "hook.waits": "number",
  "hook.decode": "function",
  "hook.allow": "function",
};

function missing(value: unknown): string | null {
  if (typeof value !== "object" || value === null) return "its default export is no object";
  for (const [path, type] of Object.entries(MEMBERS)) {
    const found = path
      .split(".")
      .reduce<unknown>((at, key) => (at as { [key: string]: unknown } | undefined)?.[key], value);
    if (typeof found !== type) return `it has no ${path} that is a ${type}`;
  }
  const { name, command } = value as Plugin;
  for (const word of [name, command])
    if (!/^[a-z][a-z0-9-]{0,31}$/.test(word)) return `${JSON.stringify(word)} is no word of small letters`;
  return null;
}

/** Adds one for all later commands. Throws `PluginError` where it is none, or where its words are taken. */
export async function addPlugin(store: EmbeddedStore, file: string): Promise<Plugin> {
  const plugin = await pluginIn(file);
  const ref = REF + plugin.name;
  for (;;) {
    const known = await store.refs.get(ref);
    const taken = PLUGINS.find(({ name, command }) => (name === plugin.name ? !known : command === plugin.command));
    if (taken) throw new PluginError(`There is a plugin ${taken.name} for ${taken.command} already.`);
    if (await store.refs.cas(ref, known?.version ?? 0, file)) return plugin;
  }
}

/** False if there is none of that name. Runs of it stay, and cannot be gone on with until it is added again. */
export async function removePlugin(store: EmbeddedStore, name: string): Promise<boolean> {
  const known = await store.refs.get(REF + name);
  return known !== null && store.refs.cas(REF + name, known.version, null);
}

/** Makes those known that the user has added. One that cannot be loaded is told, and left out. */
export async function loadAdded(store: EmbeddedStore, warn: (sentence: string) => void): Promise<void> {
  for (const { name, file } of await addedIn(store)) {
    if (PLUGINS.some((each) => each.name === name)) continue;
    try {
      PLUGINS.push(await pluginNow(name, file));
    } catch (error) {
      if (!(error instanceof PluginError)) throw error;
      warn(`shepherd: ${error.message.replace(/\.$/, "")}; \`shepherd plugin remove ${name}\` forgets it.`);
    }
  }
}

/** One that was added, as long as it is still the same. */
async function pluginNow(name: string, file: string): Promise<Plugin> {
  const plugin = await pluginIn(file);
  if (plugin.name !== name) throw new PluginError(`${file} is ${plugin.name} now, and was added as ${name}.`);
  const taken = PLUGINS.find(({ command }) => command === plugin.command);
  if (taken) throw new PluginError(`${file} is for ${plugin.command} now, as ${taken.name} is.`);
  return plugin;
}
