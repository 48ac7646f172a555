/** `shepherd plugin`: the coding agents that Shepherd can drive. */
import { PLUGINS } from "../../plugins/plugins.ts";
import { Exit } from "../errors.ts";
import type { Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "the coding agents that can be run",
  usage: "[list]",
  details:
    "Nothing is installed for an agent, and nothing written into its settings: what it needs to be recorded stands on the command line with which " +
    "a run starts it. So there is nothing to remove, either.",
  examples: ["shepherd plugin list", "shepherd doctor claude"],
  run: async ({ out }, _flags, args) => {
    const odd = args[0] === "list" ? args[1] : args[0];
    if (odd !== undefined)
      throw new Exit(
        2,
        `\`shepherd plugin\` knows \`list\` alone, and not ${JSON.stringify(odd)}: nothing is installed for an agent, so nothing can be removed.`,
      );
    for (const plugin of PLUGINS) {
      const found = await plugin.detect(process.env).catch(() => null);
      const support = found?.support ?? null;
      out.object({
        agent: plugin.command,
        name: plugin.name,
        version: found?.version ?? null,
        support,
        program: found?.program ?? null,
      });
      const state = found
        ? `${found.version}, ${support === "exact" ? "tested" : "not tested"}  ${found.program}`
        : "not on the PATH";
      out.line(`${plugin.command.padEnd(8)} ${plugin.name.padEnd(12)} ${state}`);
    }
    out.say('`shepherd run AGENT "TASK"` runs one; `shepherd doctor AGENT` tells what would fail.');
    return undefined;
  },
};
