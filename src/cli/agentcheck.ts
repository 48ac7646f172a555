/** What `shepherd doctor AGENT` looks at. */
import type { Plugin } from "../plugins/plugin.ts";
import { PLUGINS, pluginFor } from "../plugins/plugins.ts";
import { detect } from "../scope/exec/abilities.ts";
import { findProgram } from "../scope/exec/tools.ts";
import { Exit } from "./errors.ts";
import type { Tell } from "./verbs/doctor.ts";

/** Throws for the command of an agent that is not known. */
export function agentCheck(command: string): (tell: Tell) => Promise<void> {
  const plugin = pluginFor(command);
  if (!plugin)
    throw new Exit(
      2,
      `Shepherd knows no agent ${JSON.stringify(command)}: it knows ${PLUGINS.map((each) => each.command).join(", ")}.`,
    );
  return (tell) => check(plugin, tell);
}

async function check(plugin: Plugin, tell: Tell): Promise<void> {
  const { command } = plugin;
  const detected = await plugin.detect(process.env);
  if (!detected) return tell(command, "unfit", `there is no program ${command} on your PATH: install it`);
  const tested = detected.support === "exact" ? "tested with this Shepherd" : "not tested with this Shepherd";
  tell(
    command,
    detected.support === "exact" ? "ok" : "limited",
    `${detected.version}, ${tested} (${detected.program})`,
  );
  for (const { severity, what } of plugin.problems(process.env, detected))
    tell(command, severity === "error" ? "unfit" : "limited", what);
  // The hooks, by which nothing runs unrecorded.
  for (const [program, from] of [
    ["bash", "bash"],
    ["cat", "coreutils"],
  ] as const)
    if (!findProgram(program)) tell("hooks", "unfit", `${program} is needed and is not on the PATH: install ${from}`);
  const { samePath } = await detect();
  if (samePath) tell("network", "ok", `${command} reaches nothing but Shepherd's gateway, which holds your key`);
  else
    tell(
      "network",
      "limited",
      `${command} has the network of this machine: nothing keeps it from going around the gateway`,
    );
  tell("config", "ok", `${plugin.configPlace(process.env).path}, of which each run has a view of its own`);
}
