/** The agents that Shepherd knows. */
import { claudeCode } from "./claude-code/index.ts";
import { codex } from "./codex/index.ts";
import type { Plugin } from "./plugin.ts";

export const PLUGINS: readonly Plugin[] = [claudeCode, codex];

export const pluginNamed = (name: string): Plugin | undefined => PLUGINS.find((each) => each.name === name);
export const pluginFor = (command: string): Plugin | undefined => PLUGINS.find((each) => each.command === command);
