/** The library: agents as typed functions over execution, and their runs as values. `docs/library.md` has the contract of each name. */
import { overseenBy } from "./agent/overseer.ts";

export { type Agent, agent, agentOf } from "./agent/agent.ts";
export type { Context } from "./agent/context.ts";
export { type DeclaredEffect, type Effects, effect } from "./agent/effect.ts";
export {
  Cancelled,
  Conflict,
  Denied,
  Failed,
  InDoubt,
  Invalid,
  OverBudget,
  ShepherdError,
} from "./agent/errors.ts";
export type { ModelEvent, ModelPort, ModelRequest } from "./agent/model.ts";
export { type OpenStore, open } from "./agent/open.ts";
export type { ModelFunction } from "./agent/ports/function.ts";
export { runOf } from "./agent/rights.ts";
export type {
  Budget,
  ForkOptions,
  GatedEffect,
  GateVerdict,
  Held,
  LiveEvent,
  Model,
  ResumeOptions,
  Right,
  Run,
  StartOptions,
  Step,
} from "./agent/run.ts";
export { inputs, type Schema } from "./agent/schema.ts";
export { tool } from "./agent/tools/custom.ts";
export { BUILTIN } from "./agent/tools/names.ts";
export type { Tool } from "./agent/tools/tool.ts";
export { worker } from "./agent/worker.ts";

overseenBy(() => import("./meta/tools.ts"));
