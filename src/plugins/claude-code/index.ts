/** Claude Code as a worker. */
import type { Plugin } from "../plugin.ts";
import { configPlace, gather } from "./config.ts";
import { detect, problems } from "./detect.ts";
import { hook } from "./hooks.ts";
import { outgoing } from "./resume.ts";
import { compacts, cut, rewrite, sessionPath } from "./session.ts";
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
  session: { path: sessionPath, cut, rewrite },
  asMessage,
  compacts,
  // Names of sub-agents, and how long they took.
  byChance: /\ba[0-9a-f]{16}\b|(?<=duration_ms: )\d+/g,
  outgoing,
  traits,
  taskOf,
  hook,
};
