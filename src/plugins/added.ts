/** Plugins from outside of this package: modules that the user has named, by their files. */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gone } from "../world/dirs.ts";
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

/** Those that the user has added, in that order. Throws `PluginError` where that can no longer be told. */
export function addedIn(directory: string): Added[] {
  const file = listOf(directory);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (gone(error)) return [];
    throw error;
  }
  const list = parsed(text);
  if (!list) throw new PluginError(`${file} is damaged: remove it, and add your plugins anew.`);
  return list;
}

function parsed(text: string): Added[] | null {
  try {
    const list = JSON.parse(text) as Added[];
    return list.every(({ name, file }) => typeof name === "string" && typeof file === "string") ? list : null;
  } catch {
    return null;
  }
}

function keep(directory: string, added: readonly Added[]): void {
  if (added.length === 0) {
    rmSync(listOf(directory), { force: true });
    return;
  }
  const fresh = `${listOf(directory)}.${process.pid}`;
  writeFileSync(fresh, `${JSON.stringify(added, null, 2)}\n`, { mode: 0o600 });
  renameSync(fresh, listOf(directory));
}

/** The plugin that a module is. Its code runs in this process. Throws `PluginError`. */
async function pluginIn(file: string): Promise<Plugin> {
  let module: { default?: unknown };
  try {
    module = (await import(pathToFileURL(file).href)) as typeof module;
  } catch (error) {
    // Whatever a module throws.
    const why = error instanceof Error ? error.message : String(error);
    throw new PluginError(`${file} cannot be loaded: ${why.split("\n")[0]}`);
  }
  const lacks = missing(module.default);
  if (lacks) throw new PluginError(`${file} is no plugin: ${lacks} (docs/plugins.md).`);
  return module.default as Plugin;
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
  keep(directory, [...added.filter(({ name }) => name !== plugin.name), { name: plugin.name, file }]);
  return plugin;
}

/** False if there is none of that name. Runs of it stay, and cannot be gone on with until it is added again. */
export function removePlugin(directory: string, name: string): boolean {
  const added = addedIn(directory);
  const left = added.filter((each) => each.name !== name);
  if (left.length === added.length) return false;
  keep(directory, left);
  return true;
}

/** Makes those known that the user has added. What cannot be read or loaded is told, and left out. */
export async function loadAdded(directory: string, warn: (sentence: string) => void): Promise<void> {
  let added: Added[];
  try {
    added = addedIn(directory);
  } catch (error) {
    return warn(`shepherd: ${(error as Error).message}`);
  }
  for (const { name, file } of added) {
    if (PLUGINS.some((each) => each.name === name)) continue;
    try {
      PLUGINS.push(await pluginIn(file));
    } catch (error) {
      if (!(error instanceof PluginError)) throw error;
      warn(`shepherd: ${error.message}; \`shepherd plugin remove ${name}\` forgets it.`);
    }
  }
}
