/** The agents that Shepherd knows: those of this package, and those that the user has added (`added.ts`). */
import { claudeCode } from "./claude-code/index.ts";
import { codex } from "./codex/index.ts";
import type { Plugin } from "./plugin.ts";

export const PLUGINS: Plugin[] = [claudeCode, codex];

export const pluginNamed = (name: string): Plugin | undefined => PLUGINS.find((each) => each.name === name);
export const pluginFor = (command: string): Plugin | undefined => PLUGINS.find((each) => each.command === command);
