/** `shepherd plugin`: the coding agents that Shepherd can drive. */
import { resolve } from "node:path";
import { addedIn, addPlugin, PluginError, removePlugin } from "../../plugins/added.ts";
import type { Plugin } from "../../plugins/plugin.ts";
import { PLUGINS } from "../../plugins/plugins.ts";
import { Exit } from "../errors.ts";
import type { Context, Verb } from "../verb.ts";

const USAGE = "`shepherd plugin` takes `list`, `add FILE` or `remove NAME`.";

export const verb: Verb = {
  brief: "the coding agents that can be run",
  usage: "[list | add FILE | remove NAME]",
  agents: true,
  details:
    "Nothing is installed for an agent, and nothing written into its settings: what it needs to be recorded stands on the command line with which " +
    "a run starts it. `add` makes another agent known: FILE is a module whose default export is a plugin (docs/plugins.md), and its code runs " +
    "in Shepherd. `remove` forgets it; its runs stay.",
  examples: ["shepherd plugin list", "shepherd plugin add ./mine.mjs", "shepherd doctor claude"],
  run: async (context, _flags, args) => {
    const [what = "list", named, ...more] = args;
    if (more.length > 0) throw new Exit(2, USAGE);
    if (what === "list" && named === undefined) return list(context);
    if (what === "add" && named !== undefined) return add(context, resolve(context.cwd, named));
    if (what === "remove" && named !== undefined) return remove(context, named);
    throw new Exit(2, USAGE);
  },
};

async function list(context: Context): Promise<undefined> {
  const added = new Map((await addedIn(await context.store())).map(({ name, file }) => [name, file]));
  for (const plugin of PLUGINS) await tell(context, plugin, added.get(plugin.name) ?? null);
  context.out.say('`shepherd run AGENT "TASK"` runs one; `shepherd doctor AGENT` tells what would fail.');
}

async function tell({ out }: Context, plugin: Plugin, file: string | null): Promise<undefined> {
  const found = await plugin.detect(process.env).catch(() => null);
  const { version = null, support = null, program = null } = found ?? {};
  out.object({ agent: plugin.command, name: plugin.name, version, support, program, file });
  const state = found
    ? `${found.version}, ${support === "exact" ? "tested" : "not tested"}  ${found.program}`
    : "not on the PATH";
  out.line(`${plugin.command.padEnd(8)} ${plugin.name.padEnd(12)} ${state}${file ? `  (added: ${file})` : ""}`);
}

async function add(context: Context, file: string): Promise<undefined> {
  const plugin = await addPlugin(await context.store(), file).catch((error: unknown) => {
    if (error instanceof PluginError) throw new Exit(2, error.message);
    throw error;
  });
  if (context.out.json) return tell(context, plugin, file);
  context.out.say(`Added ${plugin.name}: \`shepherd run ${plugin.command} "TASK"\` runs it from now on.`);
}

async function remove({ out, store }: Context, name: string): Promise<undefined> {
  const plugin = PLUGINS.find((each) => each.name === name || each.command === name);
  const known = plugin?.name ?? name;
  if (await removePlugin(await store(), known)) {
    out.object({ name: known, removed: true });
    out.say(`Removed ${known}. Its runs stay; they go on once it is added again.`);
    return;
  }
  if (plugin)
    throw new Exit(2, `${known} is part of Shepherd, which has installed nothing for it: there is nothing to remove.`);
  throw new Exit(2, `There is no plugin ${JSON.stringify(name)}: \`shepherd plugin list\` lists them.`);
}
