/** Claude Code as a worker. */
import type { Plugin } from "../plugin.ts";
import { configPlace, gather } from "./config.ts";
import { detect, problems } from "./detect.ts";
import { hook } from "./hooks.ts";
import { outgoing } from "./resume.ts";
import { compacts, cut, sessionPath } from "./session.ts";
import { asMessage, start } from "./start.ts";
import { taskOf, traits } from "./tools.ts";

export const claudeCode: Plugin = {
  name: "claude-code",
  command: "claude",
  interactive: true,
  detect,
  problems,
  configPlace,
  gather,
  start,
  session: { path: sessionPath, cut },
  asMessage,
  compacts,
  outgoing,
  traits,
  taskOf,
  hook,
};
