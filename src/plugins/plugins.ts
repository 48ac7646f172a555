/** The agents that Shepherd knows: those of this package, and those that the user has added (`added.ts`). */
import { claudeCode } from "./claude-code/index.ts";
import { codex } from "./codex/index.ts";
import type { Plugin } from "./plugin.ts";

export const PLUGINS: Plugin[] = [claudeCode, codex];

export const pluginNamed = (name: string): Plugin | undefined => PLUGINS.find((each) => each.name === name);
export const pluginFor = (command: string): Plugin | undefined => PLUGINS.find((each) => each.command === command);

/** What an agent must not see of the user's: its own login, and all that is of other agents. */
export function hiddenFrom(plugin: Plugin, env: NodeJS.ProcessEnv): string[] {
  const { path, hide } = plugin.configPlace(env);
  const others = PLUGINS.filter((each) => each !== plugin).map((each) => each.configPlace(env));
  const theirs = others.flatMap((other) => [other.path, ...other.hide]);
  return [...hide, ...theirs.filter((each) => path !== each && !path.startsWith(`${each}/`))];
}
