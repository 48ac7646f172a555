/** Codex as a worker. */
import type { Plugin } from "../plugin.ts";
import { configPlace, gather } from "./config.ts";
import { detect, problems } from "./detect.ts";
import { hook } from "./hooks.ts";
import { outgoing } from "./resume.ts";
import { cut, results, seed, sessionPath } from "./session.ts";
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
  session: { path: sessionPath, seed, cut, results },
  asMessage: (text) => text,
  outgoing,
  traits,
  outcome,
  hook,
};
