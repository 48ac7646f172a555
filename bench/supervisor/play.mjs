// A pair at work under a policy: a look before each step, at which both have an intent that waits.
import { createHash } from "node:crypto";
import { use } from "../lib.mjs";
import { baseTree, bytesOf, passes } from "./pair.mjs";
import { after, behind, next, start } from "./worker.mjs";

const { ACTIONS } = await use("meta/supervise/decision.js");
const { EMPTY, remember } = await use("meta/supervise/memory.js");
const { CALLS } = await use("meta/supervise/view.js");

/** Looks at a pair, at each of which a worker makes a step at most: then its time is over. */
export const MOST_LOOKS = 100;
/** Looks for which one that was paused stands still. */
const PAUSED = 5;
const NAMES = ["w.1", "w.2"];
const GRANTED = new Map(NAMES.map((name) => [name, new Set(ACTIONS)]));

const hashes = new WeakMap();
/** Trees are values, and looked at in each step: their hashes are kept. */
function hashOf(tree) {
  let known = hashes.get(tree);
  if (!known) {
    const hash = createHash("sha256");
    for (const [path, content] of [...tree].sort()) hash.update(path).update(bytesOf(content));
    hashes.set(tree, (known = hash.digest("hex")));
  }
  return known;
}

const BASE = baseTree();

function modifiedIn(tree, first, tick) {
  const found = [];
  for (const [path, was] of BASE) {
    if (tree.get(path) === was) continue;
    const is = tree.get(path);
    const lines = is?.flatMap((line, at) => (line === was[at] ? [] : [[at + 1, at + 1]]));
    if (lines?.length === 0) continue;
    if (!first.has(path)) first.set(path, tick);
    found.push({ path, change: is ? "changed" : "deleted", at: first.get(path), ...(lines && { lines }) });
  }
  return found;
}

/** What the supervisor sees of a worker: nothing that it does not show. */
function viewOf(worker, tick) {
  const { name, entries, intent, state, side } = worker;
  const calls = entries.slice(-CALLS).map(({ n, action, status, tree }) => ({
    n,
    name: action.tool,
    status,
    target: action.input.command ?? action.input.path,
    ...(status === "failed" && { error: `${action.input.command} has failed` }),
    same: JSON.stringify([action.tool, action.input]),
    tree,
  }));
  return {
    name,
    task: "Make the edits of the script.",
    state: worker.ended ? "done" : worker.paused > 0 ? "paused" : "running",
    agent: "script",
    workspace: "/work/project",
    steps: entries.length,
    errors: entries.length - 1 - entries.findLastIndex(({ status }) => status === "done"),
    still:
      entries.length - 1 - entries.findLastIndex(({ tree }, at) => tree !== (entries[at - 1]?.tree ?? worker.began)),
    modified: modifiedIn(state.tree, worker.first, tick),
    regions: [`${"ab"[side]}/**`, "shared.js"],
    last: entries.length > 0 ? { action: calls.at(-1).target, ageMs: 0 } : null,
    calls,
    pending: intent && worker.paused === 0 ? [{ n: entries.length, tool: intent.tool, input: intent.input }] : [],
    spent: { tokens: 0, usd: 0, calls: entries.length, ms: 0 },
    budget: {},
  };
}

/** What is wrong with a worker at a look, with what it began as: the truth, which the supervisor is not told. */
function faultsOf({ state, intent, entries }) {
  const faults = state.strays.map(({ kind, step }) => ({ kind, id: `${kind} ${step}`, since: step }));
  if (state.mode?.kind === "loop") {
    let since = entries.length;
    while (since > 0 && entries[since - 1].action.input.command === state.mode.command) since--;
    faults.push({ kind: "loop", id: `loop ${since}`, since });
  }
  if (intent && ["wrong", "overlap", "destructive"].includes(intent.kind))
    faults.push({ kind: intent.kind, id: `${intent.kind} ${entries.length}`, since: entries.length });
  return faults;
}

const MEANT = {
  loop: ["loop", "errors", "drift"],
  wrong: ["wrong-files"],
  destructive: ["destructive"],
  overlap: ["overlap"],
};
/** The fault that a decision is for; undefined for one that is wrong. */
export const meant = ({ cause }, faults) => faults.find(({ kind }) => MEANT[kind].includes(cause.split(":")[0]));

/**
 * @param policy `decide({views, granted, memory, faults})` gives decisions with their causes
 * @returns whether the pair passed, and what was done to whom
 */
export async function play(pair, policy, { faults, odd, most = MOST_LOOKS } = {}) {
  const workers = NAMES.map((name, side) => {
    const state = start();
    return {
      name,
      side,
      state,
      states: [],
      entries: [],
      first: new Map(),
      began: hashOf(state.tree),
      paused: 0,
      ended: false,
      intent: null,
    };
  });
  const given = workers.map(({ side }) => ({ pair, side, faults, odd }));
  const log = [];
  const seen = new Map();
  let memory = EMPTY;
  let looks = 0;
  for (let tick = 0; tick < most; tick++) {
    for (const worker of workers) {
      worker.intent = next(worker.state, given[worker.side], worker.entries.length);
      worker.ended = worker.intent === null || worker.entries.length >= most;
      if (worker.paused > 0) worker.paused--;
    }
    if (workers.every(({ ended }) => ended)) break;
    const views = workers.map((worker) => viewOf(worker, tick));
    const truth = new Map(workers.map((worker) => [worker.name, faultsOf(worker)]));
    for (const [name, all] of truth)
      for (const { id, kind } of all)
        if (!seen.has(`${name} ${id}`)) seen.set(`${name} ${id}`, { kind, tick, noticed: null });
    looks += workers.filter(({ ended }) => !ended).length;
    const { decisions } = await policy.decide({ views, granted: GRANTED, memory, truth });
    memory = remember(memory, decisions);
    for (const worker of workers) {
      if (worker.ended) continue;
      const decision = decisions.find((each) => each.worker === worker.name);
      const options = given[worker.side];
      const step = worker.entries.length;
      if (decision) {
        const fault = meant(decision, truth.get(worker.name));
        log.push({
          worker: worker.name,
          tick,
          action: decision.action,
          cause: decision.cause,
          right: fault !== undefined,
        });
        const known = fault && seen.get(`${worker.name} ${fault.id}`);
        if (known && known.noticed === null) known.noticed = tick;
        if (decision.action === "pause") worker.paused = PAUSED;
        if (decision.action === "resume") worker.paused = 0;
        const before = worker.state;
        worker.state = after(worker.state, decision, fault?.kind, worker.states, options, step);
        // What waits was decided on before; who begins anew does not do it any more.
        if (
          ["discard", "revert", "handoff"].includes(decision.action) ||
          (decision.action === "inject" && before.mode?.kind === "loop" && worker.state.mode === null)
        )
          continue;
      }
      if (worker.paused > 0) continue;
      const isDenied = decision?.action === "deny" && decision.n === step;
      worker.state = behind(worker.state, worker.intent, isDenied, options, step);
      const status = isDenied ? "denied" : worker.intent.fails ? "failed" : "done";
      worker.entries.push({ n: step, tick, action: worker.intent, status, tree: hashOf(worker.state.tree) });
      worker.states.push(worker.state);
    }
  }
  const trees = workers.map(({ state }) => state.tree);
  return {
    pass: passes(pair, trees),
    trees,
    log,
    looks,
    faults: [...seen.values()],
    entries: workers.map(({ entries }) => entries),
  };
}
