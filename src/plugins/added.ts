/** Plugins from outside of this package: modules that the user has named, by their files. */
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { takeLock } from "../gateway/login/lockdir.ts";
import type { Plugin } from "./plugin.ts";
import { PLUGINS } from "./plugins.ts";

export interface Added {
  name: string;
  /** Absolute. */
  file: string;
}

/** Thrown with a sentence for what is no plugin. */
export class PluginError extends Error {}

const listOf = (directory: string): string => join(directory, "plugins.json");

/** Those that the user has added, in that order. Throws `PluginError` where that is not known. */
export function addedIn(directory: string): Added[] {
  try {
    const list = JSON.parse(readFileSync(listOf(directory), "utf8")) as unknown;
    if (Array.isArray(list) && list.every(isAdded)) return list;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Where the directory is none, what opens the store says so.
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    if (code !== undefined) throw new PluginError(`${listOf(directory)} cannot be read (${code}).`);
  }
  throw new PluginError(`${listOf(directory)} is damaged: delete it, and add your plugins again.`);
}

const isAdded = (each: unknown): each is Added =>
  typeof (each as Added | null)?.name === "string" && typeof (each as Added).file === "string";

/** Changes the list, beside other processes that do. */
async function change(directory: string, to: (added: Added[]) => Added[]): Promise<void> {
  const path = `${listOf(directory)}.lock`;
  let release = takeLock(path);
  for (; !release; release = takeLock(path)) await new Promise((resolve) => setTimeout(resolve, LOOK));
  try {
    keep(directory, to(addedIn(directory)));
  } finally {
    release();
  }
}

/** How often somebody who waits for that looks, in ms. */
const LOOK = 20;

function keep(directory: string, added: readonly Added[]): void {
  if (added.length === 0) {
    rmSync(listOf(directory), { force: true });
    return;
  }
  const fresh = `${listOf(directory)}.${process.pid}`;
  writeFileSync(fresh, `${JSON.stringify(added, null, 2)}\n`, { mode: 0o600 });
  renameSync(fresh, listOf(directory));
}

/** Whether code of plugins from outside has run in this process. */
export const ranOutside = (): boolean => loaded;
let loaded = false;

/** So long a module may take until it is loaded, in ms. */
const PATIENCE = 10_000;

/** The plugin that a module is. Its code runs in this process. Throws `PluginError`. */
export async function pluginIn(file: string): Promise<Plugin> {
  loaded = true;
  const found = existsSync(file) ? statSync(file) : null;
  if (!found?.isFile())
    throw new PluginError(`${file} cannot be loaded: ${found ? "it is no file" : "there is no such file"}.`);
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
export async function addPlugin(directory: string, file: string): Promise<Plugin> {
  const plugin = await pluginIn(file);
  const added = addedIn(directory);
  const taken = PLUGINS.find(
    (each) =>
      (each.name === plugin.name && !added.some(({ name }) => name === each.name)) ||
      (each.command === plugin.command && each.name !== plugin.name),
  );
  if (taken) throw new PluginError(`There is a plugin ${taken.name} for ${taken.command} already.`);
  await change(directory, (others) => [
    ...others.filter(({ name }) => name !== plugin.name),
    { name: plugin.name, file },
  ]);
  return plugin;
}

/** False if there is none of that name. Runs of it stay, and cannot be gone on with until it is added again. */
export async function removePlugin(directory: string, name: string): Promise<boolean> {
  if (!addedIn(directory).some((each) => each.name === name)) return false;
  await change(directory, (added) => added.filter((each) => each.name !== name));
  return true;
}

/** Makes those known that the user has added. One that cannot be loaded is told, and left out. */
export async function loadAdded(directory: string, warn: (sentence: string) => void): Promise<void> {
  const told = async <T>(work: () => T | Promise<T>, more: string): Promise<T | null> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof PluginError)) throw error;
      warn(`shepherd: ${more ? error.message.replace(/\.$/, more) : error.message}`);
      return null;
    }
  };
  for (const { name, file } of (await told(() => addedIn(directory), "")) ?? []) {
    if (PLUGINS.some((each) => each.name === name)) continue;
    const plugin = await told(() => pluginNow(name, file), `; \`shepherd plugin remove ${name}\` forgets it.`);
    if (plugin) PLUGINS.push(plugin);
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
