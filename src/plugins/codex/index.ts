/** Codex as a worker. */
import type { Plugin } from "../plugin.ts";
import { configPlace, gather } from "./config.ts";
import { detect, problems } from "./detect.ts";
import { hook } from "./hooks.ts";
import { outgoing } from "./resume.ts";
import { compacts, cut, results, rewrite, seed, sessionPath, summarizes } from "./session.ts";
import { start } from "./start.ts";
import { outcome, traits } from "./tools.ts";

export const codex: Plugin = {
  name: "codex",
  command: "codex",
  detect,
  problems,
  configPlace,
  gather,
  start,
  session: { path: sessionPath, seed, cut, rewrite, results },
  asMessage: (text) => text,
  // Names of results, and how long these took.
  byChance:
    /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|(?<=Chunk ID: )[0-9a-f]+|(?<=Wall time:? )[\d.]+(?= seconds)/g,
  compacts,
  summarizes,
  outgoing,
  traits,
  outcome,
  hook,
};
